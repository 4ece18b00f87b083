"""Tag maps of any size: every tag a totalizer with its own rule, one order for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap

NAMESPACE = "urn:example:benchmark"
SOURCE = "plc"
ORDER = "order_no"

_HEAD = """schema: 1
agent: bench
line: {{enterprise: acme, site: berlin, area: filling, line: L3}}
calendar: {{time_zone: Europe/Berlin, day_starts: "06:00"}}
mqtt: {{url: "mqtt://127.0.0.1:{broker}", root: mat}}
buffer: {{max_size: 4 GiB, keep_sent: 90 d, when_full: stop-and-alarm}}
sources:
  plc:
    opcua: opc.tcp://127.0.0.1:{opcua}
    security: None
    namespaces: {{pv: "{namespace}"}}
    sample: {sample} ms
{tanks}units:
  pcs: {{code: H87}}
materials:
  "300017": {{name: PET preform 28 g, class: packaging, unit: pcs}}
cadence:
  packaging: {{send: {send}, stream: routine}}
tags:
  plc:
    order_no: {{node: "nsu={{pv}};s=order_no", type: string}}
"""
_TAG = '    {tag}: {{node: "nsu={{pv}};s={tag}", type: uint32, unit: pcs}}\n'
_MODBUS_SOURCE = '  tanks: {{modbus: "tcp://127.0.0.1:{port}", unit_id: 1, order: ABCD, poll: 100 ms}}\n'
_MODBUS_TAG = "  tanks:\n    dosed: {at: hr0, type: uint32, unit: pcs}\n"
_MODBUS_RULE = (
    '  dose: {event: consumed, material: "300017", from: L3-TANK, counter: '
    "{tag: tanks.dosed, wraps_at: 4294967296, max_rate: 1000000 pcs/s, settle: 2 s, resets: [restart]}}\n"
)
_GATE = "only_while: plc.order_no != '', "
_RULE = (
    '  use_{tag}: {{event: consumed, material: "300017", from: L3-{tag}, order: plc.order_no, {gate}counter: '
    "{{tag: plc.{tag}, wraps_at: 4294967296, max_rate: 1000000 pcs/s, settle: 2 s, resets: [restart]}}}}\n"
)


@dataclass(frozen=True, slots=True)
class Plant:
    """What a map of `tags` counters says. Ports are those of the server and the broker; `sample` in ms.

    `modbus` is the port of a Modbus device with one counter more, if any. `gated`: each rule counts only while an order
    runs.
    """

    tags: int
    send: str = "every 1 min"
    opcua: int = 4840
    broker: int = 1883
    sample: int = 100
    modbus: int | None = None
    gated: bool = False

    def text(self) -> str:
        """The map as YAML."""
        names = [tag_name(number) for number in range(self.tags)]
        tanks = "" if self.modbus is None else _MODBUS_SOURCE.format(port=self.modbus)
        head = _HEAD.format(
            broker=self.broker,
            opcua=self.opcua,
            namespace=NAMESPACE,
            sample=self.sample,
            send=self.send,
            tanks=tanks,
        )
        tags = [_TAG.format(tag=name) for name in names]
        rules = [_RULE.format(tag=name, gate=_GATE if self.gated else "") for name in names]
        if self.modbus is not None:
            tags.append(_MODBUS_TAG)
            rules.append(_MODBUS_RULE)
        return "".join([head, *tags, "movements:\n", *rules])

    def write(self, folder: Path) -> Path:
        """The map as a file in `folder`."""
        file = folder / "map.yaml"
        file.write_text(self.text(), encoding="utf-8")
        return file

    def load(self, folder: Path) -> TagMap:
        """The map as the agent sees it. Raises ValueError where the agent would refuse it."""
        loaded = load([self.write(folder)])
        if loaded.tag_map is None:
            raise ValueError("\n".join(finding.render() for finding in loaded.errors))
        return loaded.tag_map


def tag_name(number: int) -> str:
    """The tag that stands at this place."""
    return f"c{number}"
