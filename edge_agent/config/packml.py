"""PackML machine states by number and name (ANSI/ISA-TR88.00.02-2015, state numbers 1 to 17). Pure."""

from __future__ import annotations

from enum import IntEnum


class PackMLState(IntEnum):
    """The states of a unit machine; 0 is none of them (undefined)."""

    CLEARING = 1
    STOPPED = 2
    STARTING = 3
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    STOPPING = 7
    ABORTING = 8
    ABORTED = 9
    HOLDING = 10
    HELD = 11
    UNHOLDING = 12
    SUSPENDING = 13
    UNSUSPENDING = 14
    RESETTING = 15
    COMPLETING = 16
    COMPLETE = 17

    @property
    def label(self) -> str:
        """The name as a condition writes it: `Execute`."""
        return self.name.capitalize()


_BY_NAME = {state.name: state for state in PackMLState} | {"COMPLETED": PackMLState.COMPLETE}
"""The 2022 edition calls the last one Completed."""


UNDEFINED = 0
"""The number of no state: a machine has not told one yet."""


def state_named(text: str) -> PackMLState | None:
    """The state that a machine calls `text`, whatever the case; None where it is none."""
    return _BY_NAME.get(text.strip().upper())
