"""The ceiling of reading: asyncua's publish callback counting, nothing decoded further: run as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from benchmarks.plant import NAMESPACE, tag_name


async def _main(port: int, grants: int, tags: int) -> None:
    client = Client(f"opc.tcp://127.0.0.1:{port}", auto_reconnect=False)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unseen = tags

    async def received(result: ua.PublishResult) -> None:
        nonlocal unseen
        for notification in result.NotificationMessage.NotificationData or []:
            if isinstance(notification, ua.DataChangeNotification):
                number = len(notification.MonitoredItems)
                first = min(number, unseen)
                unseen -= first
                if number > first:
                    sender.sendto(str(number - first).encode(), ("127.0.0.1", grants))
                elif not unseen:
                    print("{}", flush=True)

    async with client:
        index = await client.get_namespace_index(NAMESPACE)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=ua.Duration(100),
            RequestedLifetimeCount=ua.Counter(10_000),
            RequestedMaxKeepAliveCount=ua.Counter(100),
            PublishingEnabled=True,
        )
        made = await client.uaclient.create_subscription(parameters, received)
        items = [
            ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(
                    NodeId=ua.NodeId(ua.String(tag_name(number)), ua.Int16(index)),
                    AttributeId=AttributeIds.Value,
                ),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(
                    ClientHandle=ua.IntegerId(number), SamplingInterval=ua.Duration(100), QueueSize=ua.Counter(100)
                ),
            )
            for number in range(tags)
        ]
        await client.uaclient.create_monitored_items(
            ua.CreateMonitoredItemsParameters(
                SubscriptionId=made.SubscriptionId,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=items,
            )
        )
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(_main(*(int(argument) for argument in sys.argv[1:])))
