"""What several verbs share: where the agent's data is, how an error ends a command, how JSON is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from edge_agent.errors import AgentUnreachable, ConfigurationError, EdgeAgentError, Faulty

DEFAULT_DATA = Path("/var/lib/edge-agent")
EXIT_FINDINGS = 1
EXIT_UNREACHABLE = 4
EXIT_CONFIGURATION = 78
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h)?")
_SECONDS = {"s": 1, "min": 60, "h": 3600, None: 1}

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        "-d",
        envvar=["EDGE_AGENT_DATA", "STATE_DIRECTORY"],
        help="The agent's data directory: database, anchor, control socket.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for a machine.")]


def fail(message: str, code: int = EXIT_FINDINGS) -> NoReturn:
    """End the command with one clear line on standard error."""
    typer.echo(f"edge-agent: {message}", err=True)
    raise typer.Exit(code)


def verbatim_console() -> Console:
    """No markup: orders, containers, messages and reasons come from elsewhere, and may hold brackets."""
    return Console(highlight=False, markup=False, soft_wrap=True)


def seconds_of(text: str, option: str) -> float:
    """The seconds of `60s`, `2min` or `1h`, given to `option`. Raises BadParameter."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration; write 60s, 2min or 1h", param_hint=option)
    return float(match[1]) * _SECONDS[match[2]]


@contextmanager
def clear_errors() -> Iterator[None]:
    """What was raised on purpose becomes one line and an exit code (interfaces.md, Command line)."""
    try:
        yield
    except ConfigurationError as error:
        fail(str(error), EXIT_CONFIGURATION)
    except Faulty as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FINDINGS) from error
    except AgentUnreachable as error:
        fail(str(error), EXIT_UNREACHABLE)
    except EdgeAgentError as error:
        fail(str(error))


def print_json(value: object) -> None:
    """One JSON object, indented, on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
