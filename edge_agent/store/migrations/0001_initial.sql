-- Everything that one transaction must hold together (reliability.md, invariant 1).
-- Quantities are decimal text, positions and raw values 64-bit integers, times RFC 3339 text in UTC.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the derivation remembers: one row per rule, order tag, source, cadence, epoch tag.
CREATE TABLE checkpoint (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Heads roll back with the transaction that moved them; a new store uuid begins new rows, the old ones stay.
CREATE TABLE stream (
    id        INTEGER PRIMARY KEY,
    source    TEXT NOT NULL UNIQUE,
    name      TEXT NOT NULL,
    head      INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    delivered INTEGER NOT NULL
) STRICT;

-- The exact bytes, for ever: nothing may update, only pruning may delete.
CREATE TABLE event (
    stream   INTEGER NOT NULL REFERENCES stream (id),
    sequence INTEGER NOT NULL,
    id       TEXT NOT NULL,
    type     TEXT NOT NULL,
    topic    TEXT NOT NULL,
    recorded TEXT NOT NULL,
    payload  BLOB NOT NULL,
    hash     BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)
) STRICT;

CREATE TABLE pruned (
    stream      INTEGER NOT NULL REFERENCES stream (id),
    to_sequence INTEGER NOT NULL,
    head_hash   TEXT NOT NULL,
    at          TEXT NOT NULL,
    PRIMARY KEY (stream, to_sequence)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER event_is_immutable BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;

CREATE TRIGGER event_is_pruned_by_rule BEFORE DELETE ON event
WHEN OLD.sequence > coalesce((SELECT max(to_sequence) FROM pruned WHERE stream = OLD.stream), 0)
BEGIN SELECT RAISE(ABORT, 'an event is only deleted by pruning'); END;

CREATE TRIGGER pruned_is_immutable BEFORE UPDATE ON pruned
BEGIN SELECT RAISE(ABORT, 'what was pruned is never changed'); END;

CREATE TRIGGER pruned_stays BEFORE DELETE ON pruned
BEGIN SELECT RAISE(ABORT, 'what was pruned is never forgotten'); END;

-- The accounting identity: what ran through an epoch, from raw values alone ...
CREATE TABLE epoch (
    rule      TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    first_raw INTEGER NOT NULL,
    last_raw  INTEGER NOT NULL,
    wraps     INTEGER NOT NULL,
    modulus   INTEGER NOT NULL,
    PRIMARY KEY (rule, epoch)
) STRICT, WITHOUT ROWID;

-- ... equals the positions of its lines, whatever became of them.
CREATE TABLE line (
    rule          TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    from_position INTEGER NOT NULL,
    to_position   INTEGER NOT NULL,
    state         TEXT NOT NULL,
    total_key     TEXT NOT NULL,
    quantity      TEXT NOT NULL,
    unit          TEXT NOT NULL,
    ended         TEXT NOT NULL,
    stream        INTEGER,
    sequence      INTEGER,
    review        TEXT,
    PRIMARY KEY (rule, epoch, from_position)
) STRICT, WITHOUT ROWID;

-- A confirmation is booked once, whatever happens; kept longer than any PLC's buffer.
CREATE TABLE natural_key (
    key     TEXT PRIMARY KEY,
    rule    TEXT NOT NULL,
    content TEXT NOT NULL,
    at      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE review (
    id         TEXT PRIMARY KEY,
    rule       TEXT NOT NULL,
    cause      TEXT NOT NULL,
    total_key  TEXT NOT NULL,
    body       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    event_id   TEXT NOT NULL,
    opened     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected')),
    candidate  INTEGER,
    decided_by TEXT,
    reason     TEXT,
    decided    TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER review_is_decided_once BEFORE UPDATE ON review WHEN OLD.status <> 'open'
BEGIN SELECT RAISE(ABORT, 'a review is decided once'); END;

CREATE TABLE gap (
    id        TEXT PRIMARY KEY,
    rule      TEXT NOT NULL,
    cause     TEXT NOT NULL,
    total_key TEXT NOT NULL,
    minimum   TEXT NOT NULL,
    maximum   TEXT,
    seen      TEXT NOT NULL,
    since     TEXT NOT NULL,
    until     TEXT NOT NULL,
    message   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who did what; a chain of its own in commit order, never pruned.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at       TEXT NOT NULL,
    who      TEXT NOT NULL,
    action   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    prevhash TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_immutable BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
