"""Fences: seal a replica against the engine that nobody can ask, then wait until that engine's reads are over.

The seal goes through the core as any engine's does, on a connection of the program itself, so every rule of a seal holds.
A repeat of an order that is under way is answered together with it. Source: crates/shorthorn-replica/src/{fence,fences}.rs.
"""

import asyncio
from typing import Final

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import Reply, Request
from shorthorn.sim.programs.reports import SLACK_S, Reports
from shorthorn.sim.programs.slot import FENCE_PREFIX, Fenced, Outbox, Slot
from shorthorn.sim.programs.store import OrderError, Store
from shorthorn.sim.programs.surroundings import Log

FENCES_MAX: Final = 1024
ASKERS_MAX: Final = 16
WAIT_MS_MAX: Final = 60_000
HELLO: Final = 1
SEAL: Final = 2

Key = tuple[str, int, int]


class FenceError(Exception):
    """Why a replica does not hold a fence."""


class Fences:
    """Those under way."""

    def __init__(self, store: Store, reports: Reports, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self._store = store
        self._reports = reports
        self._loop = loop
        self._log = log
        self._under_way: dict[Key, list[tuple[int, int]]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}

    def start(self, link: int, order: lines.Fence) -> None:
        """Begin a fence, or join the same one. It is answered later. Raises `FenceError`: it was not begun."""
        if order.wait_ms > WAIT_MS_MAX:
            raise FenceError(f"a fence that waits {order.wait_ms} ms is refused: at most {WAIT_MS_MAX} ms")
        key, asker = (order.replica, order.epoch, order.attempt), (link, order.id)
        askers = self._under_way.get(key)
        if askers is not None:
            # Those of an older link wait in vain.
            askers[:] = [known for known in askers if known[0] == asker[0]]
            if len(askers) >= ASKERS_MAX:
                raise FenceError(f"{ASKERS_MAX} orders wait for this fence already")
            askers.append(asker)
            return
        if len(self._under_way) >= FENCES_MAX:
            raise FenceError(f"{FENCES_MAX} fences are under way on this disk: order it again later")
        self._under_way[key] = [asker]
        self._running[key] = self._loop.create_task(self._run(key, order))

    async def _run(self, key: Key, order: lines.Fence) -> None:
        error: str | None = None
        replicas: tuple[lines.Held, ...] = ()
        try:
            replicas = (await self._hold(order),)
        except (FenceError, OrderError) as failure:
            self._log.warn("fence not held", replica=order.replica, why=failure)
            error = str(failure)
        else:
            self._log.info("fence held", replica=order.replica, epoch=order.epoch)
        del self._running[key]
        for link, number in self._under_way.pop(key):
            if not self._reports.answer(link, number, error, replicas):
                self._log.info("a fence's answer was dropped: its link is over", id=number)

    async def _hold(self, order: lines.Fence) -> lines.Held:
        slot = self._store.find(order.replica)
        since_s = await self._seal(slot, order)
        left_s = since_s + order.wait_ms / 1000 - self._loop.time()
        while left_s > SLACK_S:
            await asyncio.sleep(left_s)
            left_s = since_s + order.wait_ms / 1000 - self._loop.time()
        if not slot.is_sealed(order.epoch, order.attempt, _name(order)):
            raise FenceError(
                f"replica {order.replica} was sealed for something newer, or deleted, while the fence of epoch"
                f" {order.epoch} waited"
            )
        return slot.held()

    async def _seal(self, slot: Slot, order: lines.Fence) -> float:
        """Since when the seal is durable. A repeat seals again, for the guards' sake, but the time goes on from the first."""
        sealed = (order.epoch, order.attempt)
        before = slot.fenced
        if before is not None and (before.sealed != sealed or not slot.is_sealed(*sealed, _name(order))):
            before = None
        conn = self._store.next_conn()
        try:
            await self._ask(slot, conn, order)
            since_s = self._loop.time() if before is None else before.since_s
            slot.fenced = Fenced(sealed, since_s)
        finally:
            slot.leave_now(conn)
        return since_s

    async def _ask(self, slot: Slot, conn: int, order: lines.Fence) -> None:
        end: asyncio.Future[str] = self._loop.create_future()

        def heard(_tag: int, reply: Reply) -> None:
            if not end.done() and reply.kind != "done":
                end.set_result("" if reply.kind == "standing" else reply.detail or reply.kind)

        def ended() -> None:
            if not end.done():
                end.set_result("something newer ended it, or it is being deleted")

        slot.join(conn, Outbox(heard, ended))
        behind = slot.core.why_behind(order.opened_epoch, order.attempt, order.stored_m)
        if behind is not None:
            # Its content is older than the record says, and the seal would hide that (A17).
            raise _not_sealed(order, behind)
        cluster, volume, replica = slot.core.identity()
        hello = {
            "wire": lines.WIRE_VERSION,
            "cluster": cluster,
            "volume": volume,
            "replica": replica,
            "engine": _name(order),
        }
        seal = {
            "epoch": order.epoch,
            "attempt": order.attempt,
            "document": msgspec.to_builtins(order.document),
        }
        slot.ask_now(conn, HELLO, Request.from_json("hello", msgspec.json.encode(hello)))
        slot.ask_now(conn, SEAL, Request.from_json("seal", msgspec.json.encode(seal)))
        why = await end
        if why:
            raise _not_sealed(order, why)


def _name(order: lines.Fence) -> str:
    """The same for each repeat of the order, so that the core takes it again."""
    return f"{FENCE_PREFIX}{order.epoch}"


def _not_sealed(order: lines.Fence, why: str) -> FenceError:
    return FenceError(f"replica {order.replica} was not sealed for the fence of epoch {order.epoch}: {why}")
