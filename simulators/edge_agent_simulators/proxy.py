"""A saboteur between broker and MES: `python -m edge_agent_simulators.proxy --upstream-port P --sabotage double`.

Everything passes unchanged but one material event and every copy of it. What the MES must not see yet (or ever) is
acknowledged to the broker in its name, so that nothing else waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from asyncio import StreamReader, StreamWriter

from edge_agent_simulators.mqtt_packets import PUBLISH, Framer, Publish, puback
from edge_agent_simulators.sabotage import Action, Sabotage, Saboteur
from edge_agent_simulators.service import Json, log_to_stderr, serve

_CHUNK = 1 << 16


class Proxy:
    """Listens on a port of 127.0.0.1 and carries each connection to the broker."""

    def __init__(self, upstream_port: int, saboteur: Saboteur) -> None:
        self._upstream_port = upstream_port
        self._saboteur = saboteur
        self._held: Publish | None = None
        self._client: StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()

    async def start(self, port: int) -> int:
        """Listen; answers the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the listener and every connection."""
        assert self._server is not None  # noqa: S101 - started before
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await self._server.wait_closed()

    async def release(self, _request: Json) -> Json:
        """Deliver what is held, to whoever is connected now; later copies pass."""
        self._saboteur.released = True
        held, client = self._held, self._client
        if held is None or client is None:
            return {"released": 0}
        self._held = None
        # at QoS 0: the broker has its acknowledgement already and may have given the identifier to another message
        client.write(dataclasses.replace(held, qos=0, identifier=None, duplicate=False).encode())
        await client.drain()
        return {"released": 1}

    def altered(self, _request: Json) -> Json:
        """The victim and how often it came; `altered` is null while there is none."""
        victim = self._saboteur.victim
        return {"altered": None if victim is None else dataclasses.asdict(victim), "holding": self._held is not None}

    async def _serve(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            to_client.close()
            return
        self._client = to_client
        ends = {to_client, to_broker}
        self._open |= ends
        both = [
            asyncio.create_task(_copy(from_client, to_broker), name="client to broker"),
            asyncio.create_task(self._filter(from_broker, to_client, to_broker), name="broker to client"),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for writer in ends:
                writer.close()
            self._open -= ends
            if self._client is to_client:
                self._client = None

    async def _filter(self, broker: StreamReader, client: StreamWriter, to_broker: StreamWriter) -> None:
        """From broker to client, packet by packet."""
        framer = Framer()
        while data := await broker.read(_CHUNK):
            for packet in framer.feed(data):
                if packet[0] >> 4 == PUBLISH:
                    self._publish(packet, client, to_broker)
                else:
                    client.write(packet)
            await client.drain()

    def _publish(self, packet: bytes, client: StreamWriter, to_broker: StreamWriter) -> None:
        message = Publish.decode(packet)
        verdict = self._saboteur.judge(message.payload)
        if verdict.action is Action.PASS:
            client.write(packet)
        elif verdict.action is Action.REPLACE:
            client.write(dataclasses.replace(message, payload=verdict.payload).encode())
        else:
            if verdict.action is Action.HOLD:
                self._held = message
            if message.identifier is not None:
                to_broker.write(puback(message.identifier))


async def _copy(source: StreamReader, target: StreamWriter) -> None:
    """From client to broker, whole packets at a time: acknowledgements of our own go between them."""
    framer = Framer()
    while data := await source.read(_CHUNK):
        for packet in framer.feed(data):
            target.write(packet)
        await target.drain()


async def _main(arguments: argparse.Namespace) -> None:
    proxy = Proxy(arguments.upstream_port, Saboteur(Sabotage(arguments.sabotage), arguments.skip))
    port = await proxy.start(arguments.port)
    try:
        await serve(
            {"port": port, "sabotage": arguments.sabotage}, {"altered": proxy.altered, "release": proxy.release}
        )
    finally:
        await proxy.stop()


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="Falsifies one event between broker and MES.")
    parser.add_argument("--upstream-port", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sabotage", choices=[kind.value for kind in Sabotage], default="none")
    parser.add_argument("--skip", type=int, default=2, help="events to let pass before one is chosen")
    log_to_stderr()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
