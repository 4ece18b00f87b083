"""Verdicts as JUnit XML, which Jenkins, GitLab and GitHub show: testsuites, testsuite, testcase, failure. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from edge_agent.workbench.testing import Verdict

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (2.2, Char)."""


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """A suite for each file, a test case for each case. No times: a run of the same cases is the same bytes."""
    root = ET.Element("testsuites", _counts(verdicts))
    for file, together in groupby(verdicts, key=lambda verdict: verdict.case.file):
        members = list(together)
        suite = ET.SubElement(root, "testsuite", {"name": _text(file), **_counts(members)})
        for verdict in members:
            _add(suite, verdict)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0", "time": "0"}


def _add(suite: ET.Element, verdict: Verdict) -> None:
    about = {"classname": _text(verdict.case.file), "name": _text(verdict.case.name), "time": "0"}
    case = ET.SubElement(suite, "testcase", about)
    if verdict.failures:
        message = "; ".join(map(str, verdict.failures))
        failure = ET.SubElement(case, "failure", {"message": _text(message), "type": "unexpected"})
        failure.text = _text("\n".join(f"{each.place}: {each}" for each in verdict.failures))


def _text(text: str) -> str:
    return _NOT_XML.sub("?", text)
