"""Relays' sessions with a protection removed: what the fault tests must notice."""

from __future__ import annotations

from itertools import count

from edge_agent.broker import Acknowledged, Broker, Loss, Message, PubAck, Session

_TAKEN = PubAck(0, "not said by the broker")


class _Wrapped:
    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


class Hasty(_Wrapped):
    """Takes what was in flight when the session was lost for delivered."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._in_flight: dict[int, Acknowledged] = {}
        self._numbers = count()

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        number = next(self._numbers)
        self._in_flight[number] = acknowledged

        def answered(puback: PubAck) -> None:
            del self._in_flight[number]
            acknowledged(puback)

        self._session.publish(message, answered)

    async def lost(self) -> Loss:
        loss = await self._session.lost()
        for acknowledged in self._in_flight.values():
            acknowledged(_TAKEN)
        self._in_flight.clear()
        return loss


class Deaf(_Wrapped):
    """Takes every PUBACK for an acceptance, whatever its reason."""

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        self._session.publish(message, lambda _puback: acknowledged(_TAKEN))


class Greedy(_Wrapped):
    """Does not heed the broker's Receive Maximum."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        session._window = 100  # type: ignore[attr-defined]  # where paho's session keeps it


class Planted:
    """A broker whose sessions have the bug; none where `bug` is None."""

    def __init__(self, broker: Broker, bug: type[_Wrapped] | None) -> None:
        self._broker = broker
        self._bug = bug

    async def connect(self, will: Message) -> Session:
        session = await self._broker.connect(will)
        return session if self._bug is None else self._bug(session)  # type: ignore[return-value]  # by __getattr__
