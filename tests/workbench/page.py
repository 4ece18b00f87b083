"""The commands of docs/workbench.md, and what they print."""

from __future__ import annotations

import re
import tempfile
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from edge_agent.cli.main import app
from tests.workbench.recordings import CONFIG, MAP

PAGE = CONFIG.parent / "docs" / "workbench.md"
CONSOLE = re.compile(r"^```console\n\$ edge-agent (.+)\n((?:.*\n)*?)```$", re.MULTILINE)
_INFEED = "filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s"


def prepare(folder: Path) -> None:
    """The shipped files, and the map that the page compares with."""
    (folder / "config").symlink_to(CONFIG)
    text = MAP.read_text(encoding="utf-8")
    assert _INFEED in text
    (folder / "tighter.yaml").write_text(text.replace(_INFEED, _INFEED.replace("25", "9")), encoding="utf-8")


def printed(command: str) -> str:
    """What `edge-agent COMMAND` prints in a prepared folder, in 80 columns."""
    lines = CliRunner(env={"COLUMNS": "80"}).invoke(app, command.split()).stdout.splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def main() -> None:
    """Write the page's output anew: `python -m tests.workbench.page`, at the top of the project."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        with chdir(folder):
            text = CONSOLE.sub(lambda found: f"```console\n$ edge-agent {found[1]}\n{printed(found[1])}```", text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
