"""Every statement of the inbox, for all databases alike: `?` placeholders, upserts as both SQLite and PostgreSQL know.

Named by what it gives or does. Columns are those of store/migrations/.
"""

from __future__ import annotations

# sources
SOURCES = """
    SELECT number, urn, agent, store, prefix, contiguous, highest, announced, delivered, settled, told, restored_to,
    folded FROM source ORDER BY number"""
NEW_SOURCE = "INSERT INTO source VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0)"
SAVE_SOURCE = """
    UPDATE source SET prefix = ?, contiguous = ?, highest = ?, announced = ?, delivered = ?, settled = ?, told = ?,
    restored_to = ?, folded = ? WHERE number = ?"""
FIRST_PENDING = "SELECT min(sequence) FROM event WHERE source = ? AND pending = 1"
SEQUENCES_ABOVE = "SELECT sequence FROM event WHERE source = ? AND sequence > ? ORDER BY sequence"
HOLES = "SELECT first, last FROM hole WHERE source = ? ORDER BY first"
VOIDED_HOLES = "SELECT first, sha256 FROM hole WHERE source = ? AND kind = 'voided'"
DOUBTS = "SELECT sequence, asked FROM doubt WHERE source = ?"
BLOCKING_DOUBTS = """
    SELECT d.sequence FROM doubt d JOIN event e ON e.source = d.source AND e.sequence = d.sequence
    WHERE d.source = ? AND e.posted = 0 AND e.state IN ('received', 'accepted')"""
DISPUTED = "SELECT DISTINCT sequence FROM version WHERE source = ?"
CLAIMED = "SELECT DISTINCT sequence FROM claim WHERE source = ?"
UNDECIDED_REVERSALS = "SELECT original FROM reversal WHERE original_source = ? AND outcome IS NULL"
UNTOLD_ANSWERS = "SELECT 1 FROM answer WHERE source = ? AND nonce IS NULL LIMIT 1"

# events
NEW_EVENT = """
    INSERT INTO event (source, sequence, sha256, prevhash, topic, payload, state, pending, fault, text)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
REPLACE_EVENT = """
    UPDATE event SET sha256 = ?, prevhash = ?, topic = ?, payload = ?, state = ?, pending = ?, fault = ?, text = ?,
    why = NULL WHERE source = ? AND sequence = ?"""
KNOWN = "SELECT sha256, state, unheard FROM event WHERE source = ? AND sequence = ?"
EVENT_HASH = "SELECT sha256 FROM event WHERE source = ? AND sequence = ?"
PREVHASH = "SELECT prevhash FROM event WHERE source = ? AND sequence = ?"
STANDING_CONTENT = "SELECT sha256, prevhash, state, posted, why FROM event WHERE source = ? AND sequence = ?"
EVENT_BYTES = "SELECT topic, payload FROM event WHERE source = ? AND sequence = ?"
ORIGINAL = "SELECT topic, payload, state, posted, uncertain FROM event WHERE source = ? AND sequence = ?"
PENDING = """
    SELECT sequence, topic, payload, uncertain, fault, text FROM event
    WHERE source = ? AND pending = 1 AND sequence <= ? ORDER BY sequence LIMIT ?"""
OFFER = "UPDATE event SET state = 'offered' WHERE source = ? AND sequence = ?"
OFFERED_BEFORE = """
    UPDATE event SET state = 'received', uncertain = 1 WHERE pending = 1 AND state = 'offered'"""
TAKE_BACK = """
    UPDATE event SET state = 'received', uncertain = CASE WHEN ? = 1 THEN 1 ELSE uncertain END
    WHERE source = ? AND sequence = ?"""
ACCEPT = """
    UPDATE event SET state = 'accepted', pending = 0, posted = ?, document = ?, posted_on = ?, uncertain = 0,
    why = NULL
    WHERE source = ? AND sequence = ?"""
REJECT = """
    UPDATE event SET state = 'rejected', pending = 0, why = ?, text = ?, uncertain = 0
    WHERE source = ? AND sequence = ?"""
WITHHOLD = """
    UPDATE event SET state = 'withheld', pending = 0, why = ?, text = ? WHERE source = ? AND sequence = ?"""
VOID_EVENT = "UPDATE event SET state = 'voided', pending = 0 WHERE source = ? AND sequence = ?"
RECEIVE_AGAIN = """
    UPDATE event SET state = 'received', pending = 1, why = NULL WHERE source = ? AND sequence = ?"""
MARK_CHANGED = "UPDATE event SET why = 'changed' WHERE source = ? AND sequence = ?"
MARK_POSTED_CHANGED = "UPDATE event SET why = 'changed' WHERE source = ? AND sequence = ? AND posted = 1"
UNMARK_CHANGED = "UPDATE event SET why = NULL WHERE source = ? AND sequence = ?"
ACCEPTED_AS = "SELECT document, posted_on FROM event WHERE source = ? AND sequence = ?"
WAS_SINGLE = "SELECT single FROM event WHERE source = ? AND sequence = ?"
ANSWERED_SINGLY = "UPDATE event SET single = 1, unheard = 0 WHERE source = ? AND sequence = ?"
UNHEARD = "UPDATE event SET unheard = 1 WHERE source = ? AND sequence = ?"
VOIDED_BY_REVERSAL = """
    SELECT 1 FROM reversal WHERE original_source = ? AND original = ? AND outcome = 'voided'"""

# the chain
VERSIONS = "SELECT sha256, prevhash FROM version WHERE source = ? AND sequence = ? ORDER BY sha256"
VERSION_BYTES = "SELECT topic, payload FROM version WHERE source = ? AND sequence = ? AND sha256 = ?"
NEW_VERSION = "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
DROP_VERSION = "DELETE FROM version WHERE source = ? AND sequence = ? AND sha256 = ?"
CLAIMS = "SELECT sha256 FROM claim WHERE source = ? AND sequence = ?"
NEW_CLAIM = "INSERT INTO claim VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
DROP_CLAIMS = "DELETE FROM claim WHERE source = ? AND sequence = ?"
SAVE_DOUBT = """
    INSERT INTO doubt VALUES (?, ?, ?) ON CONFLICT (source, sequence) DO UPDATE SET asked = excluded.asked"""
DROP_DOUBT = "DELETE FROM doubt WHERE source = ? AND sequence = ?"
NEW_HOLE = "INSERT INTO hole VALUES (?, ?, ?, ?, ?, ?, ?)"
DROP_HOLE = "DELETE FROM hole WHERE source = ? AND first = ?"
HOLE_AT = """
    SELECT first, last, kind, sha256, by_source, by_sequence FROM hole WHERE source = ? AND first <= ? AND last >= ?"""
HOLES_BY = "SELECT source, first FROM hole WHERE by_source = ? AND by_sequence = ?"

# reversals
NEW_REVERSAL = "INSERT INTO reversal VALUES (?, ?, ?, ?, NULL)"
REVERSAL_OF = "SELECT source, sequence, outcome FROM reversal WHERE original_source = ? AND original = ?"
DECIDE_REVERSAL = "UPDATE reversal SET outcome = ? WHERE original_source = ? AND original = ?"
UNDECIDED_BY = """
    SELECT original_source, original FROM reversal WHERE source = ? AND sequence = ? AND outcome IS NULL"""
DROP_UNDECIDED = "DELETE FROM reversal WHERE source = ? AND sequence = ? AND outcome IS NULL"

# positions
NEW_SPAN = "INSERT INTO span VALUES (?, ?, ?, ?, ?, ?)"
DROP_SPANS = "DELETE FROM span WHERE source = ? AND sequence = ?"
OVERLAPPING = """
    SELECT o.urn, s.sequence FROM span s JOIN source o ON o.number = s.source
    WHERE s.rule = ? AND s.epoch = ? AND s.last > ? AND s.first < ? AND o.agent = ? AND o.store <> ?
    ORDER BY s.last LIMIT 1"""
HIGHEST_POSITIONS = """
    SELECT s.rule, s.epoch, max(s.last) FROM span s JOIN source o ON o.number = s.source
    WHERE o.agent = ? GROUP BY s.rule, s.epoch ORDER BY s.rule, s.epoch"""
STATEMENTS = "SELECT agent, prefix FROM statement ORDER BY agent"
NEW_STATEMENT = """
    INSERT INTO statement VALUES (?, ?) ON CONFLICT (agent) DO UPDATE SET prefix = excluded.prefix"""
DROP_STATEMENT = "DELETE FROM statement WHERE agent = ?"

# stocks
NEW_MOVE = "INSERT INTO move VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DROP_MOVES = "DELETE FROM move WHERE source = ? AND sequence = ?"
MOVES_UP_TO = """
    SELECT location, material, lot, unit, figure, amount FROM move WHERE source = ? AND sequence <= ?"""
DROP_MOVES_UP_TO = "DELETE FROM move WHERE source = ? AND sequence <= ?"
TOTALS = "SELECT location, material, lot, unit, figure, amount FROM total WHERE agent = ? AND store = ?"
SAVE_TOTAL = """
    INSERT INTO total VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (agent, store, location, material, lot, unit, figure) DO UPDATE SET amount = excluded.amount"""
SNAPSHOT_PARTS = "SELECT source, sequence FROM snapshot_part ORDER BY source, sequence"
NEW_SNAPSHOT_PART = "INSERT INTO snapshot_part VALUES (?, ?) ON CONFLICT DO NOTHING"
DROP_SNAPSHOT_PART = "DELETE FROM snapshot_part WHERE source = ? AND sequence = ?"
DROP_SNAPSHOTS_UP_TO = "DELETE FROM snapshot_part WHERE source = ? AND sequence <= ?"
PRUNED_WITHIN = "SELECT first FROM hole WHERE source = ? AND kind = 'pruned' AND first <= ? ORDER BY first LIMIT 1"
VOIDED_WITHIN = "SELECT first FROM hole WHERE source = ? AND kind = 'voided' AND first <= ? ORDER BY first LIMIT 1"
CHANGED_WITHIN = """
    SELECT sequence FROM event WHERE source = ? AND why IS NOT NULL AND why = 'changed' AND sequence <= ?
    ORDER BY sequence LIMIT 1"""
REVERSED_HOLES = """
    SELECT e.topic, e.payload FROM hole h JOIN reversal r ON r.original_source = h.source AND r.original = h.first
    JOIN event e ON e.source = r.source AND e.sequence = r.sequence
    WHERE h.source = ? AND h.kind = 'voided' AND h.first <= ?"""
EVENTS_UP_TO = "SELECT topic, payload FROM event WHERE source = ? AND sequence <= ?"

# answers
STANDING_REJECTIONS = """
    SELECT sequence, why, text FROM event WHERE source = ? AND sequence <= ? AND state = 'rejected'
    ORDER BY sequence LIMIT ?"""
SAVE_ANSWER = """
    INSERT INTO answer VALUES (?, ?, ?, NULL)
    ON CONFLICT (source, sequence) DO UPDATE SET body = excluded.body, nonce = NULL"""
ANSWERS = "SELECT body FROM answer WHERE source = ? AND nonce IS NULL ORDER BY sequence LIMIT ?"
CARRY_ANSWER = "UPDATE answer SET nonce = ? WHERE source = ? AND sequence = ?"
UNCARRY_ANSWERS = "UPDATE answer SET nonce = NULL WHERE nonce = ?"
DROP_ANSWERS = "DELETE FROM answer WHERE nonce = ?"
MESSAGES = "SELECT nonce, source, up_to, payload, expires FROM message ORDER BY nonce"
NEW_MESSAGE = "INSERT INTO message VALUES (?, ?, ?, ?, ?)"
DROP_MESSAGE = "DELETE FROM message WHERE nonce = ?"

# discrepancies
OPEN_NAMES = "SELECT name FROM discrepancy WHERE closed IS NULL"
OPEN_DISCREPANCY = "SELECT number, cause, message, body FROM discrepancy WHERE name = ? AND closed IS NULL"
NEXT_DISCREPANCY = "SELECT coalesce(max(number), 0) + 1 FROM discrepancy"
NEW_DISCREPANCY = "INSERT INTO discrepancy VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 1, 0)"
CHANGE_DISCREPANCY = """
    UPDATE discrepancy SET cause = ?, message = ?, body = ?, revision = revision + ? WHERE number = ?"""
CLOSE_DISCREPANCY = "UPDATE discrepancy SET closed = ? WHERE number = ?"
UNPUBLISHED = """
    SELECT number, name, agent, prefix, cause, message, body, opened, closed, revision FROM discrepancy
    WHERE published < revision ORDER BY number LIMIT 100"""
PUBLISHED = "UPDATE discrepancy SET published = ? WHERE number = ? AND published < ?"
DISCREPANCIES = """
    SELECT number, agent, cause, message, body, opened, closed FROM discrepancy ORDER BY number"""

# what is wrong, and what is counted
NEW_MALFORMED = """
    INSERT INTO malformed VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (sha256) DO UPDATE SET copies = malformed.copies + 1"""
MALFORMED = "SELECT topic, reason, sha256, received, copies FROM malformed ORDER BY received DESC LIMIT 100"
MALFORMED_KEPT = "SELECT count(*) FROM malformed"
COUNTERS = "SELECT name, value FROM counter ORDER BY name"
SAVE_COUNTER = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
NOTES = "SELECT name, text FROM note ORDER BY name"
SAVE_NOTE = "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text"
DROP_NOTE = "DELETE FROM note WHERE name = ?"

# status
STATES = "SELECT source, state, count(*) FROM event WHERE state <> 'accepted' GROUP BY source, state"
ANSWERS_WAITING = "SELECT source, count(*) FROM answer GROUP BY source"
OPEN_COUNT = "SELECT cause, count(*) FROM discrepancy WHERE closed IS NULL GROUP BY cause ORDER BY cause"
DOUBT_COUNT = "SELECT source, count(*) FROM doubt GROUP BY source"
