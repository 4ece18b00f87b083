"""`python -m benchmarks`: run all of them, or those named; a table for people, `--json FILE` for machines."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import changes, check, end_to_end, engine, footprint, inserts, publishes, receives, returns
from benchmarks.processes import BenchmarkError
from benchmarks.report import Result, heading, machine
from benchmarks.scale import Scale

Benchmark = Callable[[Scale], Result]
BENCHMARKS: Mapping[str, Benchmark] = {
    **{module.NAME: module.run for module in (engine, inserts, publishes, receives, changes, end_to_end)},
    end_to_end.LATENCY: end_to_end.run_latency,
    **{module.NAME: module.run for module in (footprint, returns, check)},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 also where a target is missed: only a benchmark that cannot run fails."""
    asked = _parser().parse_args(arguments)
    folder = Path(asked.dir)
    about = machine(folder)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    print(heading(about), flush=True)
    scale = Scale(asked.repeat or (1 if asked.quick else 5), asked.quick, folder)
    results, failed = [], 0
    for name in asked.names or BENCHMARKS:
        try:
            result = BENCHMARKS[name](scale)
        except BenchmarkError as error:
            result = Result(name, "could not be run", notes=(f"FAILED: {error}",))
            failed = 1
        results.append(result)
        print(f"\n{result.table()}", flush=True)
        report = {"when": when, "machine": about, "quick": asked.quick}
        _save(asked.json, {**report, "benchmarks": [one.as_json() for one in results]})
        if asked.markdown is not None:
            asked.markdown.write_text(_document(when, heading(about), results), encoding="utf-8")
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, help="write the report here too, after each benchmark")
    parser.add_argument("--markdown", type=Path, help="write it as a document too, as docs/performance-results.md is")
    parser.add_argument("--repeat", type=int, help="repetitions of each, ours and the ceiling in turn; default 5")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where databases are made: measure that disk")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: only shows that everything runs")
    return parser


def _document(when: str, about: str, results: Sequence[Result]) -> str:
    """The report as a document that is only ever written whole."""
    head = [
        "# Performance: results",
        "",
        "Written by `make bench`; what it means: [performance.md](performance.md).",
        "",
    ]
    return "\n".join([*head, f"{when}", "", about, "", *(result.markdown() for result in results)])


def _save(file: Path | None, report: Mapping[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
