"""The receiver kit: what MES and ERP teams start from (docs/integrating.md). Fill in `post`, run `Receiver`."""

from edge_agent_receiver.answers import Accepted, Busy, Rejected
from edge_agent_receiver.event import Event, Line
from edge_agent_receiver.receiver import Receiver

__all__ = ["Accepted", "Busy", "Event", "Line", "Receiver", "Rejected"]
