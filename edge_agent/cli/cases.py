"""`edge-agent test`: cases without a PLC, a broker or a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_agent.cli.common import EXIT_FINDINGS, Json, clear_errors, fail, print_json
from edge_agent.cli.derive import say_ignored
from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.junit import junit as as_junit
from edge_agent.workbench.screen import coverage_table
from edge_agent.workbench.testing import Report, run

Files = Annotated[list[Path], typer.Argument(metavar="CASES...", help="Case files, or directories of *.yaml.")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML there, for a build server.")]
Shown = Annotated[bool, typer.Option("--coverage", help="Show which branches of each rule the cases went.")]
Enough = Annotated[
    float | None, typer.Option(metavar="PERCENT", min=0, max=100, help="Fail where fewer of all branches were gone.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("test")(run_cases)


def run_cases(
    cases: Files, junit: Junit = None, coverage: Shown = False, fail_under: Enough = None, json_: Json = False
) -> None:
    """Run cases: recordings or steps, and what a map has to book from them."""
    with clear_errors():
        loaded = load_cases(cases)
        for case in loaded:
            say_ignored(case.recording, f"the map of {case.name!a}")
        report = run(loaded)
    if junit is not None:
        _write(junit, as_junit(report.verdicts))
    if json_:
        print_json(report.as_json())
    else:
        _print(report, coverage=coverage)
    short = fail_under is not None and report.percent < fail_under
    if short:
        typer.echo(f"edge-agent: {report.percent:.1f} % of the branches were gone, not {fail_under:g} %", err=True)
    if report.failed or short:
        raise typer.Exit(EXIT_FINDINGS)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _print(report: Report, *, coverage: bool) -> None:
    for verdict in report.verdicts:
        typer.echo(f"{'FAILED' if verdict.failures else 'ok    '} {verdict.case.file}: {verdict.case.name}")
        for failure in verdict.failures:
            typer.echo(f"{failure.place}: {failure}")
    if coverage:
        Console().print(coverage_table(report.coverage))
    typer.echo(f"{len(report.verdicts)} cases, {report.failed} failed, {report.percent:.1f} % of the branches gone")
