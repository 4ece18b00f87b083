-- Everything that one transaction must hold together (reliability.md, invariant 1).
-- Quantities are decimal text, times RFC 3339 text in UTC. Positions and raw values are integers; ANY, because those of
-- a uint64 beyond 64 bits (its modulus is one) are kept as decimal text. `hash` covers the other columns of its row.

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
    hash      BLOB NOT NULL
) STRICT;

-- Up to where the broker has acknowledged a stream: written by marks, apart from the heads that commits write. Made
-- together with its stream, so that a mark needs no new page of a store that is full.
CREATE TABLE delivery (
    stream    INTEGER PRIMARY KEY REFERENCES stream (id),
    delivered INTEGER NOT NULL,
    hash      BLOB NOT NULL
) STRICT;

CREATE TRIGGER delivery_only_moves_on BEFORE UPDATE ON delivery
WHEN NEW.delivered < OLD.delivered OR NEW.delivered > (SELECT head FROM stream WHERE id = NEW.stream)
BEGIN SELECT RAISE(ABORT, 'a cursor only moves on, up to the head'); END;

-- Up to `sequence` everything had been delivered by `at`: the replay window runs from there.
CREATE TABLE acceptance (
    stream   INTEGER NOT NULL REFERENCES stream (id),
    sequence INTEGER NOT NULL,
    at       TEXT NOT NULL,
    PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;

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

CREATE TRIGGER pruned_was_delivered BEFORE INSERT ON pruned
WHEN NEW.to_sequence > coalesce((SELECT delivered FROM delivery WHERE stream = NEW.stream), 0)
BEGIN SELECT RAISE(ABORT, 'only what was delivered is pruned'); END;

CREATE TRIGGER pruned_is_immutable BEFORE UPDATE ON pruned
BEGIN SELECT RAISE(ABORT, 'what was pruned is never changed'); END;

CREATE TRIGGER pruned_stays BEFORE DELETE ON pruned
BEGIN SELECT RAISE(ABORT, 'what was pruned is never forgotten'); END;

-- The accounting identity: what ran through an epoch, from raw values alone (no hash: the identity notices a change) ...
CREATE TABLE epoch (
    rule      TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    first_raw ANY NOT NULL,
    last_raw  ANY NOT NULL,
    wraps     INTEGER NOT NULL,
    modulus   ANY NOT NULL,
    PRIMARY KEY (rule, epoch)
) STRICT, WITHOUT ROWID;

-- ... equals the positions of its lines, whatever became of them.
CREATE TABLE line (
    rule          TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    from_position ANY NOT NULL,
    to_position   ANY NOT NULL,
    state         TEXT NOT NULL,
    total_key     TEXT NOT NULL,
    quantity      TEXT NOT NULL,
    unit          TEXT NOT NULL,
    ended         TEXT NOT NULL,
    stream        INTEGER,
    sequence      INTEGER,
    review        TEXT,
    hash          BLOB NOT NULL,
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
    event_id   TEXT NOT NULL,
    opened     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected')),
    candidate  INTEGER,
    decided_by TEXT,
    reason     TEXT,
    decided    TEXT,
    hash       BLOB NOT NULL
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
    message   TEXT NOT NULL,
    hash      BLOB NOT NULL
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
