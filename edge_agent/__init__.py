"""OT edge agent: keeps a plant's inventory true at its source."""

__version__ = "0.1.0"
