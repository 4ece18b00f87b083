"""`python -m edge_agent_receiver status|discrepancies --store inbox.db [--json]`: how an inbox stands."""

from __future__ import annotations

import argparse
import json
import sys

from edge_agent_receiver.status import discrepancies, discrepancies_text, report, report_text
from edge_agent_receiver.store import Reader, StoreError, open_reader


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 where the store cannot be read, which is said on stderr."""
    parser = argparse.ArgumentParser(prog="python -m edge_agent_receiver", description="How an inbox stands.")
    parser.add_argument("what", choices=("status", "discrepancies"))
    parser.add_argument("--store", default="inbox.db", help="an SQLite file or postgresql://… (default: inbox.db)")
    parser.add_argument("--json", action="store_true", help="for machines")
    chosen = parser.parse_args(arguments)
    try:
        reader = open_reader(chosen.store)
        try:
            text = _answer(chosen.what, as_json=chosen.json, reader=reader)
        finally:
            reader.close()
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{text}\n")
    return 0


def _answer(what: str, *, as_json: bool, reader: Reader) -> str:
    if what == "status":
        found = report(reader)
        return json.dumps(found, indent=2) if as_json else report_text(found)
    listed = discrepancies(reader)
    return json.dumps(listed, indent=2) if as_json else discrepancies_text(listed)


if __name__ == "__main__":
    sys.exit(main())
