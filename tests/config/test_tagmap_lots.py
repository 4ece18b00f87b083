"""Who tells the status of a material's lots, as the loader resolves it, and what is wrong with that."""

from __future__ import annotations

import pytest

from edge_agent.config.tagmap import LotPolicy
from tests.config.conftest import Load

PREFORM = "PET preform 28 g, class: packaging, unit: pcs"


def asking(text: str, status: str, *, tracked: str = ", lot_tracked: true") -> str:
    """The map with a status for the lots of preforms."""
    text = text.replace(PREFORM, f"{PREFORM}{tracked}, lot_status: {status}")
    text = text.replace("\ntags:\n", "\n  lims: {mqtt: commands}\ntags:\n")
    return text.replace("from: L3-HOPPER", "from: L3-HOPPER\n    lot_from: fifo")


@pytest.mark.parametrize(
    ("status", "policy"),
    [
        ("{from: lims}", LotPolicy("lims", frozenset({"RELEASED"}))),
        ("{from: lims, usable: [frei, bedingt frei]}", LotPolicy("lims", frozenset({"frei", "bedingt frei"}))),
        ("{from: lims, on_blocked: hold}", LotPolicy("lims", frozenset({"RELEASED"}), hold=True)),
        ("{from: lims, on_blocked: book}", LotPolicy("lims", frozenset({"RELEASED"}))),
    ],
)
def test_a_material_says_who_tells(status: str, policy: LotPolicy, bottling_line: str, load_text: Load) -> None:
    loaded = load_text(asking(bottling_line, status))

    assert (loaded.errors, loaded.unsupported) == ((), ())
    assert loaded.tag_map is not None
    assert loaded.tag_map.materials["300017"].lot_status == policy
    assert loaded.tag_map.materials["900001"].lot_status is None


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("{from: lmis}", "EA-1208", "there is no source"),
        ("{from: filler}", "EA-1209", "sends no messages"),
        ("{from: lims, usable: []}", "EA-1209", "no lot may ever be used"),
        ("{from: lims, on_blocked: stop}", "EA-1204", "stop"),
        ("{usable: [RELEASED]}", "EA-1202", "from"),
        ("{from: lims, until: 3 d}", "EA-1201", "until"),
    ],
)
def test_what_is_wrong_with_it(status: str, code: str, words: str, bottling_line: str, load_text: Load) -> None:
    (fault,) = load_text(asking(bottling_line, status)).errors

    assert fault.code.value == code
    assert words in fault.message


def test_only_lots_have_a_status(bottling_line: str, load_text: Load) -> None:
    (fault,) = load_text(asking(bottling_line, "{from: lims}", tracked="")).errors

    assert (fault.code.value, fault.suggestion) == ("EA-1209", "add lot_tracked: true")
