-- Every table with a `hash` column: SHA-256 over the other columns of the row (rows.py).
-- Times are RFC 3339 text in UTC with microseconds. Quantities are decimal text.

-- The identities this database has had; the last one is its present one. `reason` tells why an earlier one ended.
CREATE TABLE stores (
    number INTEGER PRIMARY KEY,
    uuid   TEXT NOT NULL UNIQUE,
    minted TEXT NOT NULL,
    reason TEXT,
    hash   BLOB NOT NULL
) STRICT;

-- One row per CloudEvents source. `head` and `head_hash` are the last event's sequence and SHA-256.
CREATE TABLE streams (
    id        INTEGER PRIMARY KEY,
    source    TEXT NOT NULL UNIQUE,
    store     TEXT NOT NULL REFERENCES stores (uuid),
    name      TEXT NOT NULL,
    head      INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    hash      BLOB NOT NULL
) STRICT;

-- Up to where the broker has acknowledged. Made with its stream, so that a mark needs no new page on a full store.
CREATE TABLE deliveries (
    stream    INTEGER PRIMARY KEY REFERENCES streams (id),
    delivered INTEGER NOT NULL,
    hash      BLOB NOT NULL
) STRICT;

-- Up to where events are gone; `head_hash` is the SHA-256 of the last one gone. Made with its stream, as above.
-- `watermarks` is JSON, [[sequence, since], ...]: up to `sequence` all has been delivered since then.
CREATE TABLE pruned (
    stream      INTEGER PRIMARY KEY REFERENCES streams (id),
    to_sequence INTEGER NOT NULL,
    head_hash   TEXT NOT NULL,
    watermarks  TEXT NOT NULL,
    hash        BLOB NOT NULL
) STRICT;

-- `number` is the order of commit over all streams.
CREATE TABLE events (
    number   INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL REFERENCES streams (id),
    sequence INTEGER NOT NULL,
    id       TEXT NOT NULL,
    type     TEXT NOT NULL,
    topic    TEXT NOT NULL,
    recorded TEXT NOT NULL,
    prevhash TEXT NOT NULL,
    payload  BLOB NOT NULL,
    hash     BLOB NOT NULL,
    UNIQUE (stream, sequence)
) STRICT;

-- What the derivation remembers. The row ('seal', '') covers all others, so that none can vanish or be an old one.
CREATE TABLE checkpoint (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- What makes a confirmation the same confirmation. Kept longer than any PLC's buffer: never pruned for now.
CREATE TABLE natural_keys (
    rule     TEXT NOT NULL,
    key      TEXT NOT NULL,
    content  TEXT NOT NULL,
    recorded TEXT NOT NULL,
    PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;

-- What ran through each rule's epochs, from raw values alone: last_raw - first_raw + wraps * modulus.
-- ANY holds integers; those beyond 64 bits as decimal text.
CREATE TABLE epochs (
    rule      TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    first_raw ANY NOT NULL,
    last_raw  ANY NOT NULL,
    wraps     ANY NOT NULL,
    modulus   ANY NOT NULL,
    hash      BLOB NOT NULL,
    PRIMARY KEY (rule, epoch)
) STRICT, WITHOUT ROWID;

-- The ledger: where every range of positions went. (stream, sequence) is the event that carries a line, once cut.
CREATE TABLE lines (
    rule            TEXT NOT NULL,
    epoch           INTEGER NOT NULL,
    from_position   ANY NOT NULL,
    to_position     ANY NOT NULL,
    state           TEXT NOT NULL,
    event           TEXT NOT NULL,
    material        TEXT NOT NULL,
    job_order       TEXT,
    from_location   TEXT,
    to_location     TEXT,
    posting_day     TEXT NOT NULL,
    container       TEXT,
    quantity        TEXT NOT NULL,
    unit            TEXT NOT NULL,
    source_quantity TEXT NOT NULL,
    source_unit     TEXT NOT NULL,
    start_time      TEXT NOT NULL,
    time            TEXT NOT NULL,
    stream          INTEGER,
    sequence        INTEGER,
    review          TEXT,
    hash            BLOB NOT NULL,
    PRIMARY KEY (rule, epoch, from_position)
) STRICT, WITHOUT ROWID;

-- `body` is the review as opened, `event_id` its movement.inreview; the other columns are a person's decision.
CREATE TABLE reviews (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    event_id   TEXT,
    status     TEXT NOT NULL CHECK (status IN ('open', 'accepted', 'rejected')),
    candidate  INTEGER,
    decided_by TEXT,
    decided_at TEXT,
    reason     TEXT,
    hash       BLOB NOT NULL
) STRICT;

CREATE TABLE gaps (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    body   TEXT NOT NULL,
    hash   BLOB NOT NULL
) STRICT;

-- A chain of its own: `prevhash` is the hash of the entry before.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    at       TEXT NOT NULL,
    who      TEXT NOT NULL,
    action   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    prevhash BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;

-- Commands already obeyed, by their nonce.
CREATE TABLE inbox (
    nonce    TEXT PRIMARY KEY,
    received TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_received ON inbox (received);

-- Events never change; they go only up to where `pruned` says, and only what was delivered is ever pruned.
CREATE TRIGGER events_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;
CREATE TRIGGER events_delete BEFORE DELETE ON events
WHEN OLD.sequence > coalesce((SELECT to_sequence FROM pruned WHERE stream = OLD.stream), 0)
BEGIN SELECT RAISE(ABORT, 'events are immutable, except what is pruned'); END;
CREATE TRIGGER pruned_update BEFORE UPDATE ON pruned
WHEN NEW.stream <> OLD.stream OR NEW.to_sequence < OLD.to_sequence
  OR NEW.to_sequence > coalesce((SELECT delivered FROM deliveries WHERE stream = NEW.stream), 0)
BEGIN SELECT RAISE(ABORT, 'only delivered events are pruned'); END;
CREATE TRIGGER pruned_delete BEFORE DELETE ON pruned
BEGIN SELECT RAISE(ABORT, 'what was pruned stays known'); END;
CREATE TRIGGER deliveries_update BEFORE UPDATE ON deliveries
WHEN NEW.stream <> OLD.stream OR NEW.delivered < OLD.delivered
  OR NEW.delivered > coalesce((SELECT head FROM streams WHERE id = NEW.stream), 0)
BEGIN SELECT RAISE(ABORT, 'the cursor only moves on, up to the head'); END;

-- The audit log is append-only.
CREATE TRIGGER audit_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Accounting rows are never evicted.
CREATE TRIGGER natural_keys_update BEFORE UPDATE ON natural_keys
BEGIN SELECT RAISE(ABORT, 'natural keys are immutable'); END;
CREATE TRIGGER natural_keys_delete BEFORE DELETE ON natural_keys
BEGIN SELECT RAISE(ABORT, 'natural keys are kept'); END;
CREATE TRIGGER epochs_delete BEFORE DELETE ON epochs
BEGIN SELECT RAISE(ABORT, 'accounting rows are kept'); END;
CREATE TRIGGER lines_delete BEFORE DELETE ON lines
BEGIN SELECT RAISE(ABORT, 'accounting rows are kept'); END;
CREATE TRIGGER reviews_delete BEFORE DELETE ON reviews
BEGIN SELECT RAISE(ABORT, 'reviews are kept'); END;
CREATE TRIGGER reviews_decided BEFORE UPDATE ON reviews WHEN OLD.status <> 'open'
BEGIN SELECT RAISE(ABORT, 'a review is decided once'); END;
CREATE TRIGGER gaps_update BEFORE UPDATE ON gaps
BEGIN SELECT RAISE(ABORT, 'gaps are immutable'); END;
CREATE TRIGGER gaps_delete BEFORE DELETE ON gaps
BEGIN SELECT RAISE(ABORT, 'gaps are kept'); END;
