"""OT edge agent: keeps a plant's inventory true at its source."""

from importlib.metadata import version

__version__ = version("ot-edge-agent")
