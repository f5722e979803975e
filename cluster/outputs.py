"""What a node tells its driver to show or to do: plain values, in order.

Joined and Left, which a replica makes of the log, are among them.
"""

from __future__ import annotations

from typing import NamedTuple

from cluster.records import Record, Said
from cluster.replica import Joined, Left


class Item:
    """One thing that happened here. `record` is what is appended for it: None if it concerns this
    node alone, and has to keep its place. `name` is the member's, "" if it is of the operator;
    `payload` is the driver's."""

    __slots__ = ("is_dropped", "name", "payload", "record")

    def __init__(self, record: Record | None, name: str = "", payload: object = None) -> None:
        self.record = record
        self.name = name
        self.payload = payload
        self.is_dropped = False


class Applied(NamedTuple):
    """What happened here is in the log; this is its place."""

    item: Item


class Refused(NamedTuple):
    """This join came too late: another guest has the name."""

    item: Item


class Heard(NamedTuple):
    """What another node has said: LinesRecord, PrivateRecord, ListRecord or OrderRecord."""

    record: Record


class Present(NamedTuple):
    """A member that was there before this node was: no news to anyone."""

    name: str


class Evicted(NamedTuple):
    """A member of ours was declared dead with this node, and another has its name now."""

    name: str


class Past(NamedTuple):
    """What was said up to here, in place of what was known of it: for those who come late."""

    history: tuple[Said, ...]


class Minute(NamedTuple):
    """What is said from here on was said in this minute, by the engine's clock."""

    number: int


class Lost(NamedTuple):
    """The log has forgotten: lines may be missing."""


class Superseded(NamedTuple):
    """A newer process has this node's name."""


class Ended(NamedTuple):
    """This node has left; all that it has submitted is in the log."""


class Delete(NamedTuple):
    """These entries are not needed any more."""

    ids: tuple[str, ...]


Output = (
    Applied
    | Refused
    | Heard
    | Joined
    | Left
    | Present
    | Evicted
    | Past
    | Minute
    | Lost
    | Superseded
    | Ended
    | Delete
)
