"""Posts to a CSV file, once per event: `python receiver_csv.py mqtt://127.0.0.1:1883 postings.csv`.

A signed quantity per line; a reversal takes back what its original did. The first column is the event's id: what is in
the file already is not written again, which is all that `post` has to know to be idempotent. A real system keeps its
postings in a database, where a power cut cannot tear a line.
"""

import csv
import logging
import os
import sys
from decimal import Decimal

from edge_agent_receiver import Accepted, Event, Line, Receiver


def signed(event: Event, line: Line) -> Decimal:
    """What the line does to its location."""
    name = (event.reverses or event).name
    taken = line.use == "Other" or (line.use == "Consumed" and name != "material.returned")
    return -line.quantity if taken != bool(event.reverses) else line.quantity


class Postings:
    """The file, and the ids of the events in it."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "a+", newline="", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the program
        self.file.seek(0)
        self.ids = {row[0] for row in csv.reader(self.file)}

    def post(self, event: Event) -> Accepted:
        """All lines of the event at once, and on the disk before we say so."""
        if event.id in self.ids:
            return Accepted(duplicate=True)
        head = (event.id, event.name, event.posting_date, event.order)
        for line in event.lines:
            row = (*head, line.material, line.lot, line.location, signed(event, line), line.unit)
            csv.writer(self.file).writerow(row)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.ids.add(event.id)
        return Accepted(document=f"{self.file.name}:{len(self.ids)}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    broker, path = sys.argv[1:3]
    Receiver(system="erp", broker=broker, store=f"{path}.inbox.db", post=Postings(path).post).run()
