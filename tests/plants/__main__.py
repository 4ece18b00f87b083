"""More plants than the suite makes up, on all cores; and the table of docs/derivation.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.plants.document import DOCUMENT, DOCUMENTED, written
from tests.plants.tally import STEPS, Tally, rows, tally


def main() -> int:
    """Exit 1 where any plant's books are wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.plants", description=__doc__)
    parser.add_argument("--plants", type=int, default=3000, help="how many to make up (3000)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"how many things happen to each ({STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="the first one's seed (0)")
    parser.add_argument("--write", action="store_true", help=f"write the table into {DOCUMENT.name}")
    asked = parser.parse_args()
    if asked.write:
        with tempfile.TemporaryDirectory() as folder:
            DOCUMENT.write_text(written(tally(range(DOCUMENTED), Path(folder))), encoding="utf-8")
        return 0
    seeds = range(asked.seed, asked.seed + asked.plants)
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        found = list(pool.map(partial(_part, asked.steps), [seeds[part :: 8 * cores] for part in range(8 * cores)]))
    whole = Tally.together(found)
    sys.stdout.write("\n".join([*rows(whole), *whole.wrong, f"{asked.plants} plants, {len(whole.wrong)} faults", ""]))
    return 1 if whole.wrong else 0


def _part(steps: int, seeds: range) -> Tally:
    with tempfile.TemporaryDirectory() as folder:
        return tally(seeds, Path(folder), steps)


if __name__ == "__main__":
    sys.exit(main())
