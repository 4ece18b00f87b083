-- What comes back: answers of receiving systems, dead letters, corrections; and the stocks' gross figures.
-- `hash` covers the other columns of its row.

-- One row for each system whose word an event needs; made together with the event. `due`: overdue from then on.
-- `single` tells an answer to this very event from one that was cumulative.
CREATE TABLE answer (
    stream    INTEGER NOT NULL REFERENCES stream (id),
    sequence  INTEGER NOT NULL,
    system    TEXT NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('awaiting', 'busy', 'retried', 'rejected', 'accepted', 'corrected')),
    due       TEXT NOT NULL,
    answered  TEXT,
    single    INTEGER NOT NULL,
    document  TEXT,
    posted_on TEXT,
    code      TEXT,
    text      TEXT,
    resends   INTEGER NOT NULL,
    resend_at TEXT,
    hash      BLOB NOT NULL,
    PRIMARY KEY (stream, sequence, system)
) STRICT, WITHOUT ROWID;

CREATE INDEX answer_not_final ON answer (stream, system, sequence) WHERE status NOT IN ('accepted', 'corrected');

CREATE TRIGGER answer_is_never_unsaid BEFORE UPDATE ON answer
WHEN OLD.status = 'corrected' OR (OLD.status = 'accepted' AND OLD.single AND NEW.status <> 'accepted')
BEGIN SELECT RAISE(ABORT, 'what was accepted or corrected stays so'); END;

CREATE TRIGGER answer_goes_with_its_event BEFORE DELETE ON answer
WHEN OLD.status NOT IN ('accepted', 'corrected')
    OR OLD.sequence > coalesce((SELECT max(to_sequence) FROM pruned WHERE stream = OLD.stream), 0)
BEGIN SELECT RAISE(ABORT, 'an answer is only deleted by pruning'); END;

-- Up to where a system has said that it accepts everything.
CREATE TABLE acknowledged (
    stream INTEGER NOT NULL REFERENCES stream (id),
    system TEXT NOT NULL,
    up_to  INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (stream, system)
) STRICT, WITHOUT ROWID;

-- Up to which event an exception has said that a system owes an answer, and when.
CREATE TABLE overdue (
    stream INTEGER NOT NULL REFERENCES stream (id),
    system TEXT NOT NULL,
    up_to  INTEGER NOT NULL,
    at     TEXT NOT NULL,
    PRIMARY KEY (stream, system)
) STRICT, WITHOUT ROWID;

-- Commands already taken: the same one again changes nothing. Forgotten once it has expired.
CREATE TABLE nonce (
    system  TEXT NOT NULL,
    nonce   TEXT NOT NULL,
    digest  TEXT NOT NULL,
    expires TEXT NOT NULL,
    PRIMARY KEY (system, nonce)
) STRICT, WITHOUT ROWID;

-- Events that cannot be published: `sequence.voided` accounts for their numbers.
CREATE TABLE dead (
    stream   INTEGER NOT NULL REFERENCES stream (id),
    sequence INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    at       TEXT NOT NULL,
    status   TEXT NOT NULL CHECK (status IN ('open', 'sent', 'corrected')),
    hash     BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;

-- One reversal per event. `body` is what the new event changes, null where there is none; `reversal` the id of its reversal.
CREATE TABLE correction (
    stream   INTEGER NOT NULL REFERENCES stream (id),
    sequence INTEGER NOT NULL,
    body     TEXT,
    by       TEXT NOT NULL,
    reason   TEXT NOT NULL,
    asked    TEXT NOT NULL,
    reversal TEXT,
    hash     BLOB NOT NULL,
    PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER correction_is_made_once BEFORE UPDATE ON correction WHEN OLD.reversal IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an event is reversed once'); END;

CREATE TRIGGER correction_stays BEFORE DELETE ON correction WHEN OLD.reversal IS NULL
BEGIN SELECT RAISE(ABORT, 'a correction that waits is not forgotten'); END;

-- The highest position that a system says it holds of a rule and epoch, all stores of this agent together.
CREATE TABLE statement (
    system   TEXT NOT NULL,
    rule     TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    position ANY NOT NULL,
    hash     BLOB NOT NULL,
    PRIMARY KEY (system, rule, epoch)
) STRICT, WITHOUT ROWID;

-- Gross figures of every stock over the life of this store (events.md, Reconciliation); '' is none.
CREATE TABLE stock (
    location   TEXT NOT NULL,
    material   TEXT NOT NULL,
    lot        TEXT NOT NULL,
    stock_type TEXT NOT NULL,
    unit       TEXT NOT NULL,
    figure     TEXT NOT NULL,
    reversed   INTEGER NOT NULL,
    quantity   TEXT NOT NULL,
    hash       BLOB NOT NULL,
    PRIMARY KEY (location, material, lot, stock_type, unit, figure, reversed)
) STRICT, WITHOUT ROWID;

-- Only what was accepted, or corrected, by all whose word it needs goes; a dead letter waits for a person.
CREATE TRIGGER pruned_was_settled BEFORE INSERT ON pruned
WHEN EXISTS (SELECT 1 FROM answer WHERE stream = NEW.stream AND sequence <= NEW.to_sequence
             AND status NOT IN ('accepted', 'corrected'))
    OR EXISTS (SELECT 1 FROM dead WHERE stream = NEW.stream AND sequence <= NEW.to_sequence AND status = 'open')
    OR EXISTS (SELECT 1 FROM correction WHERE stream = NEW.stream AND sequence <= NEW.to_sequence AND reversal IS NULL)
BEGIN SELECT RAISE(ABORT, 'only what is settled is pruned'); END;
