-- The inbox: what came, what became of it, what is still to be said. NUMBER and BYTES are named by each database.
-- Quantities are decimal strings, moments RFC 3339; positions are offset and padded, so that text order is their order.

-- A stream of a store of an agent. `contiguous`: 1 to there came or is accounted for; `settled`: and answered for good.
CREATE TABLE source (
    number NUMBER PRIMARY KEY,
    urn TEXT NOT NULL UNIQUE,
    agent TEXT NOT NULL,
    store TEXT NOT NULL,
    prefix TEXT NOT NULL,
    contiguous NUMBER NOT NULL,
    highest NUMBER NOT NULL,
    announced NUMBER NOT NULL,
    delivered NUMBER NOT NULL,
    settled NUMBER NOT NULL,
    told NUMBER NOT NULL,
    restored_to NUMBER NOT NULL,
    folded NUMBER NOT NULL
);

-- One row per event. `pending`: no final answer yet. `uncertain`: it may have been posted without that being written
-- down. `single`: it was answered by itself before; `unheard`: the agent did not take that answer. `fault`: it is not to
-- be posted, as `malformed` or as `overlap` of positions held. `why`: the code of a rejection, or `changed` where the
-- chain says that the original was another.
CREATE TABLE event (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    sha256 TEXT NOT NULL,
    prevhash TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BYTES NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('received', 'offered', 'accepted', 'rejected', 'voided', 'withheld')),
    pending NUMBER NOT NULL,
    posted NUMBER NOT NULL DEFAULT 0,
    uncertain NUMBER NOT NULL DEFAULT 0,
    single NUMBER NOT NULL DEFAULT 0,
    unheard NUMBER NOT NULL DEFAULT 0,
    fault TEXT,
    why TEXT,
    text TEXT,
    document TEXT,
    posted_on TEXT,
    PRIMARY KEY (source, sequence)
);
CREATE INDEX event_pending ON event (source, sequence) WHERE pending = 1;
CREATE INDEX event_odd ON event (state) WHERE state <> 'accepted';
CREATE INDEX event_why ON event (source, sequence) WHERE why IS NOT NULL;

-- Numbers that are accounted for without an event: `voided` by the agent (with the hash that the chain holds), or
-- `pruned`, which it cannot send any more. `by_…` is the event that says so.
CREATE TABLE hole (
    source NUMBER NOT NULL,
    first NUMBER NOT NULL,
    last NUMBER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('voided', 'pruned')),
    sha256 TEXT,
    by_source NUMBER,
    by_sequence NUMBER,
    PRIMARY KEY (source, first)
);

-- Other contents that came under the number of an event.
CREATE TABLE version (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    sha256 TEXT NOT NULL,
    prevhash TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BYTES NOT NULL,
    PRIMARY KEY (source, sequence, sha256)
);

-- What heartbeats, snapshots and voided numbers say that the hash of an event is, until that is proven.
CREATE TABLE claim (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (source, sequence, sha256)
);

-- Events whose bytes the chain does not bear out. `asked`: how many replays were answered without help.
CREATE TABLE doubt (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    asked NUMBER NOT NULL,
    PRIMARY KEY (source, sequence)
);

-- Who takes which event back; one reversal per event. `outcome` null: not decided yet.
CREATE TABLE reversal (
    original_source NUMBER NOT NULL,
    original NUMBER NOT NULL,
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    outcome TEXT CHECK (outcome IN ('voided', 'posted')),
    PRIMARY KEY (original_source, original)
);
CREATE INDEX reversal_by ON reversal (source, sequence);

-- Which positions of a rule's signal an event stands for, the first included, the last not.
CREATE TABLE span (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    rule TEXT NOT NULL,
    epoch NUMBER NOT NULL,
    first TEXT NOT NULL,
    last TEXT NOT NULL
);
CREATE INDEX span_event ON span (source, sequence);
CREATE INDEX span_rule ON span (rule, epoch, last);

-- What events add to the stocks, until a snapshot's watermark has passed them.
CREATE TABLE move (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    location TEXT NOT NULL,
    material TEXT NOT NULL,
    lot TEXT NOT NULL,
    unit TEXT NOT NULL,
    figure TEXT NOT NULL,
    amount TEXT NOT NULL
);
CREATE INDEX move_event ON move (source, sequence);

-- The stocks up to the last watermark compared.
CREATE TABLE total (
    agent TEXT NOT NULL,
    store TEXT NOT NULL,
    location TEXT NOT NULL,
    material TEXT NOT NULL,
    lot TEXT NOT NULL,
    unit TEXT NOT NULL,
    figure TEXT NOT NULL,
    amount TEXT NOT NULL,
    PRIMARY KEY (agent, store, location, material, lot, unit, figure)
);

-- The events that hold the parts of a snapshot not compared yet.
CREATE TABLE snapshot_part (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    PRIMARY KEY (source, sequence)
);

-- Answers that the agent has not confirmed; `nonce` is the message that carries it, null before there is one.
CREATE TABLE answer (
    source NUMBER NOT NULL,
    sequence NUMBER NOT NULL,
    body TEXT NOT NULL,
    nonce TEXT,
    PRIMARY KEY (source, sequence)
);
CREATE INDEX answer_nonce ON answer (nonce);

-- Messages of answers, sent again until the agent confirms them. `expires` in seconds since 1970.
CREATE TABLE message (
    nonce TEXT PRIMARY KEY,
    source NUMBER NOT NULL,
    up_to NUMBER,
    payload BYTES NOT NULL,
    expires NUMBER NOT NULL
);

-- Agents that have not confirmed how far we got with their older stores.
CREATE TABLE statement (
    agent TEXT PRIMARY KEY,
    prefix TEXT NOT NULL
);

-- What does not agree. `revision` counts what was to be said about it, `published` what was.
CREATE TABLE discrepancy (
    number NUMBER PRIMARY KEY,
    name TEXT NOT NULL,
    agent TEXT NOT NULL,
    prefix TEXT NOT NULL,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    body TEXT NOT NULL,
    opened TEXT NOT NULL,
    closed TEXT,
    revision NUMBER NOT NULL,
    published NUMBER NOT NULL
);
CREATE UNIQUE INDEX discrepancy_open ON discrepancy (name) WHERE closed IS NULL;
CREATE INDEX discrepancy_unpublished ON discrepancy (number) WHERE published < revision;

-- What could not be read, kept for a person.
CREATE TABLE malformed (
    sha256 TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload BYTES NOT NULL,
    received TEXT NOT NULL,
    copies NUMBER NOT NULL
);

-- What people want to know of the running receiver: what `post` raised last, why an agent refuses our answers.
CREATE TABLE note (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL
);

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value NUMBER NOT NULL
);
