"""What every section of a tag map has in common: known keys."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, shown
from edge_agent.config.yaml_nodes import Map


class Section(BaseModel):
    """A mapping with known keys. Unknown ones are reported, each with the nearest known one, to the context given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _unknown_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, Map) and isinstance(info.context, Findings):
            known = keys_of(cls)
            for key in data.keys() - known:
                advice = info.context.nearest(key, known) or f"known here: {', '.join(sorted(known))}"
                info.context.error(data.places[key], Code.UNKNOWN_KEY, f"unknown key {shown(key)}", advice)
        return data


@cache
def keys_of(section: type[BaseModel]) -> frozenset[str]:
    """The keys of a section as the tag map writes them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())
