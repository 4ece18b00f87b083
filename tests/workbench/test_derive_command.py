"""`edge-agent derive`: what it prints, what it refuses, and by which exit code."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.config.loader import load
from tests.workbench.recordings import CONFIG, MAP, Line, at, read, text_of

LINES = [read(0, "order_no", "4711"), read(0, "bottles_out", 100), read(1, "bottles_out", 124)]


NO_PREFORMS = "not recorded: preforms_used lacks readings of filler.preforms_in\n"
NO_BOTTLES = "not recorded: bottles_made lacks readings of filler.bottles_out\n"
NO_PALLETS = "not recorded: pallet_out lacks readings of filler.pal_seq\n"


def _derive(folder: Path, *arguments: object, lines: list[Line] = LINES) -> tuple[int, str, str]:
    recording = folder / "line.jsonl"
    recording.write_text(text_of(lines), encoding="utf-8")
    first, *more = arguments
    done = CliRunner().invoke(app, ["derive", str(first), str(recording), *map(str, more)])
    return done.exit_code, done.stdout, done.stderr


def test_json_is_the_movements_and_nothing_else(tmp_path: Path) -> None:
    code, said, errors = _derive(tmp_path, MAP, "--json")

    assert (code, errors) == (0, NO_PREFORMS + NO_PALLETS), "nobody looked there: that is not the same as nothing"
    nothing = {"unit": "pcs", "booked": {}, "review": [], "excluded": "0", "gaps": [], "exceptions": []}
    assert json.loads(said) == {
        "preforms_used": nothing,
        "bottles_made": {**nothing, "booked": {"4711": "24"}},
        "pallet_out": nothing,
    }


def test_people_read_a_table(tmp_path: Path) -> None:
    code, said, _ = _derive(tmp_path, MAP)

    assert code == 0
    assert "bottles_made   booked         24  pcs   order 4711" in said
    assert "3 lines, 2026-03-02T11:00:00Z to 2026-03-02T11:00:01Z" in said


def test_an_empty_recording_comes_to_nothing(tmp_path: Path) -> None:
    code, said, _ = _derive(tmp_path, MAP, lines=[])

    assert code == 0
    assert "nothing recorded" in said


def test_what_is_ignored_is_counted_on_standard_error(tmp_path: Path) -> None:
    lines = [*LINES, *(at(2, tag=f"tanks.level_{number:02}", v=1) for number in range(12))]

    code, said, errors = _derive(tmp_path, MAP, "--json", lines=lines)

    assert code == 0
    assert json.loads(said)["bottles_made"]["booked"] == {"4711": "24"}
    assert "ignored: 'tanks.level_00', which the map does not know; lines: 1" in errors
    assert "ignored: 2 more names that the map does not know; lines: 2" in errors


def test_a_block_of_a_counter_is_said_to_be_of_no_handshake(tmp_path: Path) -> None:
    lines = [at(0, block="bottles_made", number=1, values={}), at(1, released="bottles_made", number=1)]

    _, _, errors = _derive(tmp_path, MAP, "--json", lines=[*lines, at(2, block="gone", number=1, values={})])

    assert errors == (
        "ignored: 'gone', which the map does not know; lines: 1\n"
        "ignored: blocks of 'bottles_made', which is no handshake in the map; lines: 2\n"
    )


def test_what_still_waits_at_the_end_and_what_was_no_reading_is_said_on_standard_error(tmp_path: Path) -> None:
    """A historian's export without the order: nothing can be booked, and nothing is dropped in silence."""
    lines = [read(0, "bottles_out", 100), read(1, "bottles_out", 124), read(2, "preforms_in", None)]

    code, said, errors = _derive(tmp_path, MAP, "--json", lines=lines)

    assert code == 0
    assert json.loads(said)["bottles_made"]["booked"] == {}
    assert "waits: bottles_made has read 124 and counts it once its order is known\n" in errors
    assert "not counted: preforms_used, not_a_reading: 1\n" in errors


def test_what_stands_open_at_the_end_is_said_on_standard_error(tmp_path: Path) -> None:
    lost = at(2, source="filler", state="lost")

    code, said, errors = _derive(tmp_path, MAP, "--json", lines=[*LINES, read(1.5, "bottles_out", 3), lost])

    assert (code, json.loads(said)["bottles_made"]["review"]) == (0, [])
    assert errors.startswith("open: bottles_made has shown 3, which is held: what ran since 2026-03-02T11:00:01Z ")


def test_a_block_without_its_acknowledgement_is_said_on_standard_error(tmp_path: Path) -> None:
    block = at(0, block="pallet_out", number=7, values={"filler.pal_cases": 40, "filler.pal_sscc": "P7"})

    _, _, errors = _derive(tmp_path, MAP, "--json", lines=[block])

    assert errors == f"not counted: pallet_out, not_a_block: 1\n{NO_PREFORMS}{NO_BOTTLES}"


def test_a_state_that_packml_does_not_have_is_said_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "by_state.yaml"
    text = MAP.read_text(encoding="utf-8")
    only = "  preforms_used:\n    only_while: filler.order_no == packml.Execute\n"
    path.write_text(text.replace("  preforms_used:\n", only), encoding="utf-8")
    lines = [read(second, "order_no", state) for second, state in enumerate(("Execute", "Exceute", "Held"))]

    code, _, errors = _derive(tmp_path, path, "--json", lines=lines)

    odd = "odd: a state that PackML does not have, in a condition of preforms_used; times: 1\n"
    assert (code, errors) == (0, f"{odd}{NO_PREFORMS}{NO_BOTTLES}{NO_PALLETS}")


def test_a_faulty_recording_prints_its_faults_and_derives_nothing(tmp_path: Path) -> None:
    code, said, errors = _derive(tmp_path, MAP, "--json", lines=[*LINES, read(0, "bottles_out", 130)])

    assert (code, said) == (1, "")
    assert errors.startswith(f"{tmp_path / 'line.jsonl'}:4:7: error EA-1803 ")


def test_a_map_may_be_several_files(tmp_path: Path) -> None:
    code, said, _ = _derive(tmp_path, MAP, "--config", CONFIG / "dosing-skid.yaml", "--json")

    assert code == 0
    assert "syrup_used" in json.loads(said)
    assert _derive(tmp_path, CONFIG, "--json")[:2] == (code, said)


def test_certificates_and_secrets_of_the_plant_need_not_be_there(tmp_path: Path) -> None:
    path = tmp_path / "secured.yaml"
    text = MAP.read_text(encoding="utf-8")
    secured = 'mqtts://127.0.0.1", tls: {ca: pki/ca.pem, cert: pki/l3.pem, key: pki/l3.key}'
    login = "Basic256Sha256/SignAndEncrypt\n    login: {user: edge, password_file: secrets/filler}"
    path.write_text(text.replace('mqtt://127.0.0.1:1883"', secured).replace("None  ", f"{login}  "), encoding="utf-8")

    assert len(load([path]).errors) == 4
    assert _derive(tmp_path, path)[0] == 0


def test_a_path_that_leaves_the_map_s_folder_is_refused_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "outside.yaml"
    text = MAP.read_text(encoding="utf-8")
    path.write_text(
        text.replace('mqtt://127.0.0.1:1883"', 'mqtts://127.0.0.1", tls: {ca: ../ca.pem}'), encoding="utf-8"
    )

    code, _, errors = _derive(tmp_path, path)

    assert code == 1
    assert "EA-1301" in errors


def test_what_this_version_does_not_run_is_refused_and_not_guessed(tmp_path: Path) -> None:
    full = CONFIG / "examples" / "full-line.yaml"
    refused = {finding.code.value for finding in load([full], alone=True).unsupported}

    code, said, errors = _derive(tmp_path, full, "--json")

    assert code == (1 if refused else 0)
    assert bool(said) is not bool(refused)
    assert all(each in errors for each in refused)


def test_a_ring_without_blocks_is_said_to_be_untold(tmp_path: Path) -> None:
    text = MAP.read_text(encoding="utf-8").replace(
        "trigger: filler.pal_seq, ack:", "kind: ring, head: filler.pal_seq, tail:"
    )
    for tag in ("pal_sscc:    {", "pal_cases:   {"):
        text = text.replace(tag, f"{tag}slots: 8, ")
    text = text.replace("Pal.SSCC", "Pal.SSCC[{slot}]").replace("Pal.Cases", "Pal.Cases[{slot}]")
    ring = tmp_path / "ring.yaml"
    ring.write_text(text, encoding="utf-8")

    _, _, errors = _derive(tmp_path, ring, lines=[*LINES, read(1, "pal_seq", 1), read(1, "preforms_in", 1)])

    assert (
        errors
        == "not recorded: pallet_out lacks its `block` lines, without which a ring or an OPC UA event is not told\n"
    )
