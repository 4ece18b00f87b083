"""Counters and gauges, by name and labels as in interfaces.md (Metrics, without prefix and `_total`)."""

from __future__ import annotations

Labels = tuple[tuple[str, str], ...]


class Counts:
    """What happened how often, and how much there is now."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], int] = {}
        self._gauges: dict[tuple[str, Labels], float] = {}

    def add(self, name: str, by: int = 1, /, **labels: str) -> None:
        """Count `by` more of something. Raises ValueError where `by` is negative: a counter never falls."""
        if by < 0:
            raise ValueError(f"{name}: a counter cannot be lowered by {-by}")
        key = (name, tuple(sorted(labels.items())))
        self._counters[key] = self._counters.get(key, 0) + by

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """State a gauge, in the base unit that its name says."""
        self._gauges[name, tuple(sorted(labels.items()))] = value

    def get(self, name: str, /, **labels: str) -> float:
        """A counter's or gauge's value; 0 where nothing was counted."""
        key = (name, tuple(sorted(labels.items())))
        return self._gauges.get(key, self._counters.get(key, 0))

    def snapshot(self) -> dict[str, float]:
        """All of them, named as Prometheus writes them: `readings{source="filler"}`."""
        return {_text(name, labels): value for (name, labels), value in sorted((self._counters | self._gauges).items())}


def _text(name: str, labels: Labels) -> str:
    if not labels:
        return name
    inner = ",".join(f'{key}="{value}"' for key, value in labels)
    return f"{name}{{{inner}}}"
