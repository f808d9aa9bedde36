"""What consumers and people ask for: attach, detach, evict, cancel, declare dead. Nobody has to ask, nobody may count on it."""

from shorthorn.core.lifecycle.events import (
    DeathWithdrawn,
    DeclaredDead,
    DeleteRequested,
    EvictCancelled,
    EvictRequested,
    NodeEvent,
)
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.model.ids import Holder
from shorthorn.sim.explorer.seeing import name
from shorthorn.sim.explorer.space import REQUEST, Frame


def ask(f: Frame) -> None:
    """All requests that the budget still has."""
    if f.volume is None:
        return
    _attach(f)
    for attachment in f.volume.attachments:
        _commit(f, DetachRequested(holder=attachment.holder), f.bd, "{} lets go", attachment.holder)
    left = f.spend("deletes")
    if left >= 0:
        _commit(f, DeleteRequested(), left, "a person deletes the volume")
    docs = f.model.record.nodes.values[f.nd]
    for node in f.model.world.victims or range(f.model.world.nodes):
        if docs[node].evicting:
            _node(f, node, EvictCancelled(), "cancels", "the eviction of {} is cancelled")
        else:
            _node(f, node, EvictRequested(), "evicts", "{} is to be evicted")
        if docs[node].dead is not None:
            _node(f, node, DeathWithdrawn(who="ann"), "cancels", "{} is no longer declared dead")
        else:
            _node(f, node, DeclaredDead(who="ann", why="burnt"), "deaths", "{} is declared dead")


def _attach(f: Frame) -> None:
    left = f.spend("attaches")
    if left < 0:
        return
    for site in f.model.world.sites:
        for holder in f.model.world.holders:
            event = AttachRequested(holder=Holder(holder), node=name(site))
            _commit(f, event, left, "{} attaches at {}", holder, name(site))


def _commit(
    f: Frame, event: AttachRequested | DetachRequested | DeleteRequested, left: int, *label: object
) -> None:
    answer = f.model.record.commit(f.v, f.nd, event)
    if isinstance(answer, tuple) and answer[0] != f.v:
        f.go(REQUEST, label, v=answer[0], bd=left)


def _node(f: Frame, node: int, event: NodeEvent, budget: str, label: str) -> None:
    left = f.spend(budget)
    if left < 0:
        return
    after = f.model.record.change_node(f.nd, node, event)
    if after != f.nd:
        f.go(REQUEST, (label, name(node)), nd=after, bd=left)
