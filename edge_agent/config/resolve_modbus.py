"""Modbus sources: a TCP endpoint or a serial line, and what their devices can take."""

from __future__ import annotations

import re
from datetime import timedelta

from edge_agent.config.codes import Code
from edge_agent.config.devices import ModbusSource, Parity, SerialLine
from edge_agent.config.document import ModbusSection, SerialSection
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.report import Path, Report
from edge_agent.config.urls import MODBUS_PORTS, endpoint

_HIGHEST_UNIT = 255
_SERIAL_UNITS = range(1, 248)
"""Addresses of devices on a serial line; 0 is everybody (Modbus over Serial Line V1.02, 2.2)."""
_MOST_REGISTERS = 125
_FEWEST_REGISTERS = 4
"""What a 64-bit value takes."""
_DEVICE_FILE = re.compile(r"rtu:(?://)?(/dev/[A-Za-z0-9._/-]+)")
_BAUDS = range(300, 4_000_001)
_TIMEOUT = timedelta(seconds=1)


def resolve_modbus(name: str, section: ModbusSection, report: Report, path: Path) -> ModbusSource | None:
    """The source, where its address and figures are right."""
    is_serial = section.modbus.startswith("rtu")
    url = report.attempt((*path, "modbus"), _url, section.modbus)
    fit = _check_unit(section, report, path, is_serial=is_serial)
    most = _MOST_REGISTERS if section.max_registers is None else section.max_registers
    if not _FEWEST_REGISTERS <= most <= _MOST_REGISTERS:
        message = f"max_registers {most} is not between {_FEWEST_REGISTERS} and {_MOST_REGISTERS}"
        report.error((*path, "max_registers"), Code.OUT_OF_RANGE, message)
        fit = False
    serial = _serial(section.serial, report, (*path, "serial")) if is_serial else None
    if section.serial is not None and not is_serial:
        message = "`serial` means nothing for a source over TCP"
        report.error(
            (*path, "serial"), Code.CONFLICT, message, "write modbus: rtu:/dev/ttyUSB0, or remove it", key=True
        )
        fit = False
    if url is None or not fit or (is_serial and serial is None):
        return None
    timeout = section.timeout or _TIMEOUT
    return ModbusSource(name, url, section.unit_id, section.order, section.poll, timeout, most, serial)


def _url(text: str) -> str:
    """Raises Unfit."""
    if not text.startswith("rtu"):
        return endpoint(text, MODBUS_PORTS).url
    match = _DEVICE_FILE.fullmatch(text)
    if match is None or ".." in match[1]:
        raise Unfit(Code.BAD_URL, f"{shown(text)} names no serial line", "write it like rtu:/dev/ttyUSB0")
    return f"rtu:{match[1]}"


def _check_unit(section: ModbusSection, report: Report, path: Path, *, is_serial: bool) -> bool:
    units = _SERIAL_UNITS if is_serial else range(_HIGHEST_UNIT + 1)
    if section.unit_id in units:
        return True
    message = f"unit identifier {section.unit_id} is not between {units[0]} and {units[-1]}"
    report.error((*path, "unit_id"), Code.OUT_OF_RANGE, message)
    return False


def _serial(section: SerialSection | None, report: Report, path: Path) -> SerialLine | None:
    if section is None:
        return SerialLine()
    stop_bits = section.stop_bits or (2 if section.parity is Parity.NONE else 1)
    if section.baud not in _BAUDS:
        report.error((*path, "baud"), Code.OUT_OF_RANGE, f"{section.baud} baud is not a speed of a serial line")
        return None
    if stop_bits not in (1, 2):
        report.error((*path, "stop_bits"), Code.OUT_OF_RANGE, f"{stop_bits} is not 1 or 2 stop bits")
        return None
    return SerialLine(section.baud, section.parity, stop_bits)
