"""Handshakes, levels and flows of rules: their tags and figures."""

from __future__ import annotations

from edge_agent.config.codes import Code
from edge_agent.config.document_rules import FlowSection, HandshakeSection, LevelSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, values
from edge_agent.config.resolve_units import convert
from edge_agent.config.tagmap import Handshake, Tag, TagType, Unit
from edge_agent.model.reading import TagRef
