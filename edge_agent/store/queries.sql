-- Every query of the store by name. Where a row has a hash, it is the last column, and the others come in the order in
-- which it was computed.

-- name: stores
SELECT number, uuid, minted, reason, hash FROM stores ORDER BY number;

-- name: insert_store
INSERT INTO stores (number, uuid, minted, reason, hash) VALUES (?, ?, ?, ?, ?);

-- name: streams
SELECT id, source, store, name, head, head_hash, hash FROM streams ORDER BY id;

-- name: upsert_stream
INSERT INTO streams (id, source, store, name, head, head_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET head = excluded.head, head_hash = excluded.head_hash, hash = excluded.hash;

-- name: deliveries
SELECT stream, delivered, hash FROM deliveries;

-- name: upsert_delivery
INSERT INTO deliveries (stream, delivered, hash) VALUES (?, ?, ?)
ON CONFLICT (stream) DO UPDATE SET delivered = excluded.delivered, hash = excluded.hash;

-- name: pruned
SELECT stream, to_sequence, head_hash, watermarks, hash FROM pruned;

-- name: upsert_pruned
INSERT INTO pruned (stream, to_sequence, head_hash, watermarks, hash) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (stream) DO UPDATE
SET to_sequence = excluded.to_sequence, head_hash = excluded.head_hash, watermarks = excluded.watermarks,
    hash = excluded.hash;

-- name: insert_event
INSERT INTO events (stream, sequence, id, type, topic, recorded, prevhash, payload, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: events
SELECT stream, sequence, id, type, topic, recorded, prevhash, payload, hash FROM events
WHERE stream = ? AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?;

-- name: commit_number
SELECT number FROM events WHERE stream = ? AND sequence = ?;

-- name: delete_events
DELETE FROM events WHERE stream = ? AND sequence <= ?;

-- name: checkpoint
SELECT kind, name, body, hash FROM checkpoint;

-- name: upsert_checkpoint
INSERT INTO checkpoint (kind, name, body, hash) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, hash = excluded.hash;

-- name: insert_natural_key
INSERT INTO natural_keys (rule, key, content, recorded) VALUES (?, ?, ?, ?);

-- name: natural_key
SELECT content FROM natural_keys WHERE rule = ? AND key = ?;

-- name: upsert_epoch
INSERT INTO epochs (rule, epoch, first_raw, last_raw, wraps, modulus, hash) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (rule, epoch) DO UPDATE
SET first_raw = excluded.first_raw, last_raw = excluded.last_raw, wraps = excluded.wraps, modulus = excluded.modulus,
    hash = excluded.hash;

-- name: upsert_line
INSERT INTO lines (rule, epoch, from_position, to_position, state, event, material, job_order, from_location,
    to_location, posting_day, container, quantity, unit, source_quantity, source_unit, start_time, time, stream,
    sequence, review, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (rule, epoch, from_position) DO UPDATE
SET to_position = excluded.to_position, state = excluded.state, event = excluded.event, material = excluded.material,
    job_order = excluded.job_order, from_location = excluded.from_location, to_location = excluded.to_location,
    posting_day = excluded.posting_day, container = excluded.container, quantity = excluded.quantity,
    unit = excluded.unit, source_quantity = excluded.source_quantity, source_unit = excluded.source_unit,
    start_time = excluded.start_time, time = excluded.time, stream = excluded.stream, sequence = excluded.sequence,
    review = excluded.review, hash = excluded.hash;

-- name: lines
SELECT rule, epoch, from_position, to_position, state, event, material, job_order, from_location, to_location,
    posting_day, container, quantity, unit, source_quantity, source_unit, start_time, time, stream, sequence, review,
    hash
FROM lines;

-- name: imbalances
SELECT rule, epoch, exact_sum(ran) AS ran, exact_sum(accounted) AS accounted
FROM (
    SELECT rule, epoch, distance(first_raw, last_raw, wraps, modulus) AS ran, 0 AS accounted FROM epochs
    UNION ALL
    SELECT rule, epoch, 0, distance(from_position, to_position, 0, 0) FROM lines
)
GROUP BY rule, epoch HAVING exact_sum(ran) <> exact_sum(accounted) ORDER BY rule, epoch;

-- name: insert_review
INSERT INTO reviews (id, body, event_id, status, candidate, decided_by, decided_at, reason, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: decide_review
UPDATE reviews
SET status = ?4, candidate = ?5, decided_by = ?6, decided_at = ?7, reason = ?8, hash = ?9
WHERE id = ?1 AND body = ?2 AND event_id IS ?3;

-- name: reviews
SELECT id, body, event_id, status, candidate, decided_by, decided_at, reason, hash FROM reviews ORDER BY number;

-- name: review
SELECT id, body, event_id, status, candidate, decided_by, decided_at, reason, hash FROM reviews WHERE id = ?;

-- name: insert_gap
INSERT INTO gaps (id, body, hash) VALUES (?, ?, ?);

-- name: gaps
SELECT id, body, hash FROM gaps ORDER BY number;

-- name: audit
SELECT number, at, who, action, detail, prevhash, hash FROM audit WHERE number > ? ORDER BY number LIMIT ?;

-- name: audit_head
SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1;

-- name: insert_audit
INSERT INTO audit (number, at, who, action, detail, prevhash, hash) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: insert_nonce
INSERT INTO inbox (nonce, received) VALUES (?, ?) ON CONFLICT (nonce) DO NOTHING;

-- name: forget_nonces
DELETE FROM inbox WHERE received < ?;
