"""Wrong versions of planning, control and agent, put in the place of the right ones for the time of a test.

Each patch names a function by its module, and makes the wrong one from the right one. It is put wherever the function was
imported to, so what a module took by name is wrong, too.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import msgspec

Wrong = Callable[[Any], Any]
"""Makes the wrong version of the right one."""


class Patch(NamedTuple):
    """`where`: module and name, with a class before a method: `control.loop.ControlLoop._rest`.

    `everywhere`: also where others took it from by name.
    """

    where: str
    wrong: Wrong
    everywhere: bool = True


def always(value: object) -> Wrong:
    """It answers this, whatever it is asked."""
    return lambda _right: lambda *_args, **_kwargs: value


@contextmanager
def patched(patch: Patch) -> Iterator[None]:
    """The wrong version in all its places; the right one is back afterwards."""
    holder, name = _find(f"shorthorn.{patch.where}")
    right = getattr(holder, name) if not isinstance(holder, type) else holder.__dict__[name]
    wrong = patch.wrong(right)
    places: list[Any] = [holder]
    if patch.everywhere and not isinstance(holder, type):
        places = [m for n, m in sorted(sys.modules.items()) if n.startswith("shorthorn.")]
        places = [m for m in places if m.__dict__.get(name) is right]
    for place in places:
        setattr(place, name, wrong)
    try:
        yield
    finally:
        for place in places:
            setattr(place, name, right)


@contextmanager
def all_patched(patches: tuple[Patch, ...]) -> Iterator[None]:
    """Each of them."""
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patched(patch))
        yield


def _find(where: str) -> tuple[Any, str]:
    """The module or class that holds it, and its name there."""
    parts = where.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            holder: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:-1]:
            holder = getattr(holder, part)
        return holder, parts[-1]
    raise LookupError(f"there is no {where}")


# Wrong versions that are more than an answer.


def _all_that_must_go(right: Any) -> Any:
    from shorthorn.core.planning.looking import why_must_go  # noqa: PLC0415 - after everything is loaded

    def wrong(world: Any, volume: Any, want: int) -> Any:
        return right(world, volume, want) | {
            r.id: why for r in volume.in_sync if (why := why_must_go(world, r))
        }

    return wrong


def _any_epoch(found: str) -> Wrong:
    """The first one about this volume, of whatever epoch."""

    def make(_right: Any) -> Any:
        def wrong(world: Any, node: Any, volume: Any, epoch: Any) -> Any:
            del epoch
            sighting = world.heard(node)
            seen = getattr(sighting, found) if sighting else ()
            return next((one for one in seen if one.volume == volume), None)

        return wrong

    return make


def _fenced_when_sealed(right: Any) -> Any:
    def wrong(world: Any, node: Any, disk: Any, replica: Any) -> Any:
        seen = right(world, node, disk, replica)
        return seen and msgspec.structs.replace(seen, fenced=max(seen.fenced, seen.sealed[0]))

    return wrong


def _no_claim(right: Any) -> Any:
    def wrong(*args: Any, **kwargs: Any) -> Any:
        plan = right(*args, **kwargs)
        bare = tuple(msgspec.structs.replace(i, space=None) for i in plan.intents)
        return msgspec.structs.replace(plan, intents=bare)

    return wrong


def _session_for_eviction(right: Any) -> Any:
    """A detached volume is attached to its data, so that its engine may move a replica."""
    from shorthorn.core.lifecycle.events import SessionStarted  # noqa: PLC0415
    from shorthorn.core.model.ids import Epoch  # noqa: PLC0415
    from shorthorn.core.planning.plan import Intent, Plan  # noqa: PLC0415

    def wrong(world: Any, volume: Any, new_id: Any) -> Any:
        evicted = [r for r in volume.in_sync if (n := world.nodes.get(r.node)) and n.evicting]
        node = world.nodes.get(evicted[0].node) if evicted else None
        if node is None or volume.session or volume.attachments:
            return right(world, volume, new_id)
        event = SessionStarted(
            epoch=Epoch(volume.epoch + 1), node=node.name, machine_id=node.machine_id, boot_id=node.boot_id
        )
        intent = Intent(volume=volume.uid, name=volume.name, event=event, cause="evicted")
        return Plan(intents=(intent,))

    return wrong


def _deletes_what_leaves(right: Any) -> Any:
    from shorthorn.core.model.order import DeleteReplica  # noqa: PLC0415

    def wrong(world: Any, volume: Any, node: Any) -> Any:
        yield from right(world, volume, node)
        for replica in volume.replicas:
            if replica.node == node and replica.leaving:
                yield DeleteReplica(
                    disk=replica.disk,
                    replica=replica.id,
                    volume=volume.uid,
                    era=volume.era,
                    version=volume.version,
                )

    return wrong


def _takes_at_once(_right: Any) -> Any:
    """The lease is taken over from whoever leads, however fresh it is."""
    from shorthorn.control.lease import Step  # noqa: PLC0415

    return lambda me, lease, *_: Step.RENEW if lease and lease.holder == me else Step.TAKE


def _over_whatever_is_there(right: Any) -> Any:
    """A commit expects what stands there now, not what was read: a change in between is lost, a check was before."""
    from shorthorn.ports.store import Write  # noqa: PLC0415

    def wrong(self: Any, commit: Any) -> Any:
        blind = {}
        for key, write in commit.writes.items():
            stored = self.feed.get(key)
            blind[key] = Write(0 if stored is None else stored.version, write.value)
        return right(self, msgspec.structs.replace(commit, writes=blind, unchanged={}))

    return wrong


def _starts_again(right: Any) -> Any:
    def wrong(order: Any, running: Any) -> Any:
        ended = tuple(e for e in running.engines if not e.evidence)
        return right(order, msgspec.structs.replace(running, last={}, engines=ended))

    return wrong


def _makes_anew(right: Any) -> Any:
    """Nothing on disk says that the epoch was used."""

    def wrong(self: Any, volume: Any, epoch: Any, order: Any, boot: Any) -> Any:
        with suppress(FileNotFoundError):  # the first start is as it should be
            self._files.remove_tree(self.engine(volume, epoch))
        return right(self, volume, epoch, order, boot)

    return wrong


def _twice(kind: str) -> Wrong:
    """Each action of this kind is carried out twice."""

    def make(right: Any) -> Any:
        def wrong(orders: Any, running: Any) -> Any:
            found = right(orders, running)
            return [a for a in found for _ in range(1 + (type(a).__name__ == kind))]

        return wrong

    return make


def _ends_without_lock(_right: Any) -> Any:
    def wrong(self: Any, evidence: str) -> bool:
        self.evidence = self.evidence or evidence
        return True

    return wrong


PATCHES: dict[str, tuple[Patch, ...]] = {
    # planning
    "evict-early": (Patch("core.planning.leaving._may_go", _all_that_must_go),),
    "absent-counts": (Patch("core.planning.looking.overdue", always(False)),),
    "dead-count": (Patch("core.planning.looking.why_lost", always("")),),
    "no-place-reserved": (Patch("core.planning.placement.plan_places", _no_claim),),
    "any-engine-report": (Patch("core.model.world.World.engine_seen", _any_epoch("engines")),),
    "fence-unwaited": (Patch("core.model.world.World.replica_seen", _fenced_when_sealed),),
    "drop-unprobed": (Patch("core.planning.leaving._answered", always(True)),),
    "evict-attaches": (Patch("core.planning.planner.plan_volume", _session_for_eviction),),
    "placed-anywhere": (Patch("core.planning.placement.why_no_place", always(None), everywhere=False),),
    "formed-unseen": (Patch("core.planning.forming._is_empty", always(True)),),
    "delete-unburied": (Patch("core.planning.orders._folders", _deletes_what_leaves),),
    "fence-held": (Patch("core.planning.fencing._held", always(False)),),
    "old-boot-unseen": (Patch("core.planning.sessions.confirmed_end", always("")),),
    # control
    "lost-wakeup": (
        Patch("control.records.Records._tell", lambda _right: lambda _self: None),
        # It hides the loss: everything goes on after a minute at most.
        Patch("control.loop.FULL_PASS_S", lambda _right: 1e9),
    ),
    "lease-early": (Patch("control.lease.next_step", _takes_at_once),),
    "blind-commit": (Patch("sim.cluster.shared_store.SharedStore.apply", _over_whatever_is_there),),
    "ungrounded-commit": (Patch("core.lifecycle.law.rests_on", always(())),),
    # agent
    "epoch-twice": (
        Patch("agent.reconcile._run_engine", _starts_again),
        Patch("agent.node_folder.NodeFolder.make_engine", _makes_anew),
    ),
    "orders-twice": (Patch("agent.reconcile.reconcile", _twice("TellDisk")),),
    "start-twice": (Patch("agent.reconcile.reconcile", _twice("StartEngine")),),
    "end-unconfirmed": (Patch("agent.engine.Engine.confirm_end", _ends_without_lock),),
}
"""Name to what is wrong then."""
