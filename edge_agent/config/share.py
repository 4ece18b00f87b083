"""Files that ship beside the code: `config/` of the source tree, `edge_agent/share/` once installed."""

from __future__ import annotations

from pathlib import Path

from edge_agent.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "share", _PACKAGE.parent / "config")


def shared_file(name: str) -> Path:
    """The shipped file `name`, such as `bottling-line.yaml`. Raises ConfigurationError where the package lacks it."""
    for place in _PLACES:
        if (place / name).is_file():
            return place / name
    raise ConfigurationError(f"{name} is missing from the installation: install the package again")
