"""Every error the agent raises on purpose.

EdgeAgentError
├── ConfigurationError      the tag map or settings are invalid (exit 78 from `run`, 1 from `check`)
├── Faulty                  what the workbench was given has faults; the message is all of them, as file:line:col
├── StoreError              the database cannot be used as it is
│   ├── StoreLocked         another process holds the store
│   ├── StoreFull           the disk, or the store up to its cap, has no room
│   ├── StoreCorrupt        a row or the chain does not match its hash
│   └── NaturalKeyTaken     a confirmation's natural key is already booked
├── SourceError             a device cannot be reached or answers wrongly
├── BrokerError             the MQTT broker refused or lost something
├── EventInvalid            a draft that no valid event can be made of (a quantity no decimal string can carry)
└── ControlError            a request over the control socket was refused (unknown review, already decided, …)
    └── AgentUnreachable    nobody listens on the control socket
"""

from __future__ import annotations


class EdgeAgentError(Exception):
    """Base of all errors raised on purpose; its text is one clear message for a person."""


class ConfigurationError(EdgeAgentError):
    """The tag map or the settings are invalid; the message carries `file:line:col`."""


class Faulty(EdgeAgentError):
    """Maps, recordings or cases given to the workbench have faults; the message is all of them, as file:line:col."""


class StoreError(EdgeAgentError):
    """The database cannot be used as it is."""


class StoreLocked(StoreError):
    """Another process holds `<db>.lock`."""


class StoreCorrupt(StoreError):
    """A row or the chain does not match its hash."""


class StoreFull(StoreError):
    """The disk, or the store up to `buffer.max_size`, has no room; it heals once there is some."""


class NaturalKeyTaken(StoreError):
    """A confirmation's natural key is already in the store."""

    def __init__(self, rule: str, key: str) -> None:
        super().__init__(f"{rule}: confirmation {key} is already booked")
        self.rule = rule
        self.key = key


class SourceError(EdgeAgentError):
    """A device cannot be reached or answers wrongly."""


class BrokerError(EdgeAgentError):
    """The MQTT broker refused or lost something."""


class EventInvalid(EdgeAgentError):
    """A draft that no valid event can be made of: a quantity the format cannot carry, a time without a zone."""


class ControlError(EdgeAgentError):
    """A request over the control socket was refused."""


class AgentUnreachable(ControlError):
    """Nobody listens on the control socket."""
