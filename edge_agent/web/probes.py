"""The pages for machines: `/metrics`, `/-/ready`, `/-/healthy`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from edge_agent.web.responder import Answer, Page

_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"

Complaint = Callable[[], str | None]
"""What is wrong, in one line; None where nothing is."""


def pages(metrics: Callable[[], str], not_ready: Complaint, unhealthy: Complaint) -> Mapping[str, Page]:
    """The pages by path; the probes say 200 and `ok`, or 503 and what is wrong."""
    return {
        "/metrics": lambda: Answer(metrics(), content_type=_PROMETHEUS_TEXT),
        "/-/ready": lambda: _probe(not_ready),
        "/-/healthy": lambda: _probe(unhealthy),
    }


def _probe(complaint: Complaint) -> Answer:
    wrong = complaint()
    return Answer("ok\n") if wrong is None else Answer(f"{wrong}\n", HTTPStatus.SERVICE_UNAVAILABLE)
