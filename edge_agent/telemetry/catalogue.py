"""Every metric there is, with what it says: nothing is counted that is not named here (interfaces.md, Metrics).

Names are without the prefix `edge_agent_` and a counter's `_total`. Labels are names of the tag map (sources, rules,
streams) or one of a few fixed words, so their number is bounded by the map.
"""

from __future__ import annotations

METRICS = {
    "build_info": "Always 1; the labels say the agent's version and its Python.",
    "readings": "Values read, by source.",
    "values_discarded": "Values a server sent that were older than what was read, or of a tag no longer monitored.",
    "overflows": "Values before which the server's queue lost others; the newest is kept, continuity ends there.",
    "subscribed_anew": "Subscriptions made anew within a session because one had missed something.",
    "torn_blocks": "Handshake blocks that changed while they were read, and were read again.",
    "source_up": "1 where data flows from the source, 0 where it does not.",
    "tags_good": "Tags whose newest value is good while their source is up.",
    "tags_bad": "Tags whose newest value is not good, that have none yet, or whose source is lost.",
    "refused_requests": "Requests that a Modbus device refused or answered wrongly.",
    "asked_again": "Requests repeated because no answer came in time.",
    "tags_failed": "Tags that the server refuses to read or monitor.",
    "movements": "What became of the readings and confirmations, by rule and outcome.",
    "acknowledged_to_source": "Confirmations acknowledged to the PLC, by rule.",
    "acknowledge_failed": "Acknowledgements that the PLC did not take; they are written again.",
    "commit_seconds": "From the end of a step to its durable COMMIT, waiting for the writer included.",
    "outbox_pending": "Events that the broker has not acknowledged yet, by stream.",
    "outbox_oldest_seconds": "Age of the oldest event that the broker has not acknowledged yet, by stream; 0 for none.",
    "published": "Events handed to the broker's session, those sent again included.",
    "acknowledged": "Events that the broker acknowledged.",
    "rejected": "Times an event was held because the broker refused it or it was unfit to send; its stream pauses.",
    "resent_after_loss": "Events that were in flight when a session was lost; they are sent again.",
    "replayed": "Stored events published again because somebody asked.",
    "dropped": "Answers and heartbeats given up because too many waited for the broker. Events are never dropped.",
    "publish_latency_seconds": "From handing an event to the session to its PUBACK.",
    "broker_up": "1 where the broker's session is up.",
    "dead_letters": "Answers that reject an event, and events that no broker takes, until a person has settled them.",
    "unpublishable": "Events that became dead letters because they cannot be published.",
    "answers": "Answers of receiving systems to events, by outcome (taken, repeated, refused).",
    "overdue": "Events that a receiving system had not answered in time, by system.",
    "review_open": "Reviews that wait for a person.",
    "store_bytes": "Bytes of the store in use.",
    "store_cap_bytes": "Bytes that the store may use at the most (buffer.max_size).",
    "progress": "1 where store and scheduler got on within the last half minute, as the watchdog wants it.",
    "process_resident_memory_bytes": "Resident memory.",
    "process_open_fds": "Open file descriptors.",
    "process_tasks": "Tasks of the event loop.",
    "process_cpu_seconds": "Processor time used, user and system.",
    "process_start_time_seconds": "Start of the process since the Unix epoch.",
}
