"""Requests about nodes that are certainly false or too much: the law of nodes refuses each, and takes the right ones."""

from collections.abc import Iterator
from typing import Any

import msgspec

from shorthorn.core.lifecycle import attachments, nodes
from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeathWithdrawn,
    DeclaredDead,
    EvictRequested,
    NodeEvent,
    NodeRegistered,
)
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.model.ids import DiskUid, NodeName, ReplicaId
from shorthorn.core.model.node import Disk, Node
from tests.core import examples as ex

Answer = Accepted[Any] | Refused | None
GOOD = NodeRegistered(
    name=NodeName("n1"), machine_id="m-n1", boot_id="b-n1", disks=(Disk(uid=ex.disk_of(ex.N1), size=ex.GIB),)
)
TEXTS = ("", "two\nlines")


def _false() -> Iterator[tuple[str, Answer]]:
    """What may not be accepted, with what it would be; None is how a guard alone says yes."""
    node = ex.node(ex.N1)
    for wrong in (
        {"name": NodeName("no name")},
        {"machine_id": ""},
        {"boot_id": "x" * 1000},
        {"disks": (*GOOD.disks, *GOOD.disks)},
        {"disks": (Disk(uid=DiskUid("d"), size=-1),)},
        {"labels": (("", "a"),)},
    ):
        event = msgspec.structs.replace(GOOD, **wrong)
        yield f"an agent registers {wrong}", nodes.register(event)
    for text in TEXTS:
        yield "dead, says nobody", _apply(node, DeclaredDead(who=text, why="burnt"))
        yield "dead, for no reason", _apply(node, DeclaredDead(who="ann", why=text))
    dead = ex.accepted(nodes.apply_node(node, DeclaredDead(who="ann", why="burnt")))
    yield "alive, says nobody", _apply(dead, DeathWithdrawn(who=""))
    yield "another machine of this name", _apply(node, msgspec.structs.replace(GOOD, machine_id="m-other"))
    cordoned = ex.accepted(nodes.apply_node(node, Cordoned()))
    evicting = ex.accepted(nodes.apply_node(node, EvictRequested()))
    for what, there in (("cordoned", cordoned), ("evicting", evicting), ("dead", dead)):
        yield f"a replica on a {what} node", _promise(there, ex.GIB)
    yield "more than the disk has", _promise(node, 1000 * ex.GIB)
    yield "a disk that is not there", nodes.commit_space(node, DiskUid("d9"), ReplicaId("r1"), ex.GIB)
    absent: dict[str, Node | None] = {"cordoned": cordoned, "dead": dead, "missing": None}
    for what, record in absent.items():
        refused = attachments.check_attach(record, ex.attach(ex.N1))
        yield f"a consumer at a {what} node", refused or Accepted(value=node, lines=())


def _apply(node: Node, event: NodeEvent) -> Answer:
    return nodes.apply_node(node, event)


def _promise(node: Node, size: int) -> Answer:
    return nodes.commit_space(node, node.disks[0].uid, ReplicaId("r1"), size)


def _true() -> Iterator[Answer]:
    node = ex.node(ex.N1)
    yield nodes.register(GOOD)
    yield nodes.apply_node(node, DeclaredDead(who="ann", why="burnt"))
    yield _promise(node, ex.GIB)


def hunt() -> str:
    """What was accepted and may not be, or was refused and is right; empty when nothing is wrong."""
    try:
        for what, answer in _false():
            if not isinstance(answer, Refused):
                return f"a lie: {what} is accepted"
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"the law of nodes stumbles: {error!r}"
    return "" if all(isinstance(answer, Accepted) for answer in _true()) else "what is right is refused"
