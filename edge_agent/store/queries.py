"""The named queries of `queries.sql` and the numbered migrations, read once from the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_\w+\.sql$")


def _queries() -> Mapping[str, str]:
    _, *parts = _NAME.split(files(__package__).joinpath("queries.sql").read_text(encoding="utf-8"))
    return {name: text.strip().rstrip(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _migrations() -> Mapping[int, str]:
    found = {
        int(match[1]): entry.read_text(encoding="utf-8")
        for entry in files(__package__).joinpath("migrations").iterdir()
        if (match := _MIGRATION.match(entry.name))
    }
    return dict(sorted(found.items()))


QUERIES = _queries()
"""SQL by name."""

MIGRATIONS = _migrations()
"""SQL scripts by number, in order; `PRAGMA user_version` holds the number of the last one applied."""
