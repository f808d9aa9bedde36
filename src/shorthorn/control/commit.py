"""The one way to change a record: ask the law, commit its answer with the journal, or pass on its refusal.

A change of a volume and what it rests on (a node unchanged, space committed on a disk) are one commit. After a
conflict the law is asked again about the new documents. An unknown outcome is never acted on: the caller asks again.
Source: docs/design.md, ideas 1 and 5.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from shorthorn.control.records import NODES, VOLUMES, Records
from shorthorn.core.invariants.finding import Severity
from shorthorn.core.invariants.step import check_step
from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import Created, NodeEvent, NodeRegistered
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.model.ids import NodeName, VolumeName, VolumeUid
from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume
from shorthorn.core.planning.plan import Claim, Release
from shorthorn.errors import OutcomeUnknown, ShorthornError, Unavailable
from shorthorn.ports.clock import Clock
from shorthorn.ports.store import ABSENT, Conflict, Done, NewEntry, Store, Unknown, Write
from shorthorn.store import Document

TRIES_MAX = 16
"""Commits that conflict one after another before the caller is told to come back: a sign of overload, not of a loop."""


Decision = Callable[[Volume, Sequence[Node | None]], Accepted[Volume] | Refused]
"""The law's answer about a volume and the nodes that it rests on; the commit names those nodes as unchanged."""


NO_VIEW: Mapping[NodeName, Node] = MappingProxyType({})


class InvariantBroken(ShorthornError):
    """A change that the law accepted would break an invariant: our bug. Nothing was recorded."""

    code = "bug"


class Committer:
    """Changes records by way of the law."""

    def __init__(self, store: Store, records: Records, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._clock = clock

    async def create_volume(self, event: Created, cause: str) -> Accepted[Volume] | Refused:
        """Record a new volume; its name must be free."""
        answer = law.create(event)
        if isinstance(answer, Refused):
            return answer
        assert answer.value is not None
        writes = {
            name_key(event.name): Write(ABSENT, event.uid.encode()),
            VOLUMES.key(event.uid): VOLUMES.create(answer.value),
        }
        result = await self._store.commit(writes, journal=self._journal(answer, answer.value, event, cause))
        match result:
            case Done():
                return answer
            case Conflict():
                why = f"a volume named {event.name} exists already; choose another name"
                return Refused(kind=RefusalKind.ALREADY_EXISTS, why=why)
            case Unknown(reason):
                raise OutcomeUnknown(
                    f"volume {event.name} may have been created; look before you try again", context=reason
                )

    async def change_volume(
        self,
        uid: VolumeUid,
        event: law.AnyEvent,
        cause: str,
        *,
        space: Claim | Release | None = None,
        rests_on: Sequence[NodeName] = (),
        view: Mapping[NodeName, Node] = NO_VIEW,
        decide: Decision | None = None,
    ) -> Accepted[Volume] | Refused:
        """Apply `event` to the volume; with it the space on a disk changes, and the nodes named stay as they are.

        The nodes that the law itself needs for its answer are found and named here (`law.rests_on`). `decide` stands for
        `law.apply` where the answer needs the nodes of `rests_on` as well. `view`: the nodes as they were when the event
        was chosen; if one that it rests on, or takes space from, stands otherwise now, the event is refused.
        """
        document = self._records.volume(uid) or await VOLUMES.get(self._store, uid)
        for _ in range(TRIES_MAX):
            if document is None:
                return Refused(kind=RefusalKind.NOT_FOUND, why=f"volume {uid} does not exist")
            names = dict.fromkeys((*rests_on, *law.rests_on(document.value, event)))
            found = {name: await NODES.get(self._store, name) for name in names}
            values = {name: None if node is None else node.value for name, node in found.items()}
            if (refused := _moved_on(view, {name: values[name] for name in rests_on})) is not None:
                return refused
            if decide is None:
                answer = law.apply(
                    document.value, event, Grounds(nodes=values, grant_s=self._records.settings.grant_s)
                )
            else:
                answer = decide(document.value, [values[name] for name in rests_on])
            if isinstance(answer, Refused) or not answer.changed:
                return answer
            if answer.value is not None:
                _check(document.value, answer.value)
            guards = {
                NODES.key(name): ABSENT if node is None else node.version for name, node in found.items()
            }
            writes = {VOLUMES.key(uid): _write(document, answer.value)}
            if _frees_name(answer.value):
                writes |= await self._name_freed(document.value)
            if (refused := await self._add_space(space, writes, guards, view)) is not None:
                return refused
            entries = self._journal(answer, answer.value or document.value, event, cause)
            result = await self._store.commit(writes, guards, entries)
            if isinstance(result, Done):
                self._records.note_volume(uid, result.revision, answer.value)
                return answer
            if isinstance(result, Unknown):
                raise OutcomeUnknown(
                    f"the change of volume {document.value.name} may have happened", context=result.reason
                )
            document = await VOLUMES.get(self._store, uid)
        raise Unavailable(f"volume {uid} changes faster than this request could follow; try again")

    async def change_node(self, name: NodeName, event: NodeEvent, cause: str) -> Accepted[Node] | Refused:
        """Apply `event` to the node's record."""

        def decide(node: Node | None) -> Accepted[Node] | Refused:
            if node is None:
                return Refused(kind=RefusalKind.NOT_FOUND, why=f"there is no node named {name}")
            return nodes.apply_node(node, event)

        return await self._change_node(name, decide, event, cause)

    async def register_node(self, event: NodeRegistered, cause: str) -> Accepted[Node] | Refused:
        """Record a node, or that its agent came back."""

        def decide(node: Node | None) -> Accepted[Node] | Refused:
            return nodes.register(event) if node is None else nodes.apply_node(node, event)

        return await self._change_node(event.name, decide, event, cause)

    async def _change_node(
        self,
        name: NodeName,
        decide: Callable[[Node | None], Accepted[Node] | Refused],
        event: law.AnyEvent | NodeEvent | Created,
        cause: str,
    ) -> Accepted[Node] | Refused:
        for _ in range(TRIES_MAX):
            document = await NODES.get(self._store, name)
            answer = decide(None if document is None else document.value)
            if isinstance(answer, Refused) or not answer.changed or answer.value is None:
                return answer
            write = NODES.create(answer.value) if document is None else NODES.replace(document, answer.value)
            entries = self._journal(answer, answer.value, event, cause)
            result = await self._store.commit({NODES.key(name): write}, journal=entries)
            if isinstance(result, Done):
                return answer
            if isinstance(result, Unknown):
                raise OutcomeUnknown(f"the change of node {name} may have happened", context=result.reason)
        raise Unavailable(f"node {name} changes faster than this request could follow; try again")

    async def _add_space(
        self,
        space: Claim | Release | None,
        writes: dict[str, Write],
        guards: dict[str, int],
        view: Mapping[NodeName, Node],
    ) -> Refused | None:
        if space is None:
            return None
        document = await NODES.get(self._store, space.node)
        if document is None:
            return Refused(kind=RefusalKind.NOT_FOUND, why=f"node {space.node} does not exist")
        if isinstance(space, Claim):
            if (refused := _moved_on(view, {space.node: document.value})) is not None:
                return refused
            answer = nodes.commit_space(document.value, space.disk, space.replica, space.size)
        else:
            answer = nodes.release_space(document.value, space.disk, space.replica)
        if isinstance(answer, Refused):
            return answer
        if answer.changed and answer.value is not None:
            writes[NODES.key(space.node)] = NODES.replace(document, answer.value)
            guards.pop(NODES.key(space.node), None)
        return None

    async def _name_freed(self, volume: Volume) -> dict[str, Write]:
        stored = await self._store.get(name_key(volume.name))
        if stored is None or stored.value != volume.uid.encode():
            return {}
        return {stored.key: Write(stored.version, None)}

    def _journal(
        self,
        answer: Accepted[Volume] | Accepted[Node],
        value: Volume | Node,
        event: law.AnyEvent | NodeEvent | Created,
        cause: str,
    ) -> list[NewEntry]:
        kind = str(event.__struct_config__.tag)
        is_volume = isinstance(value, Volume)
        subject = value.uid if isinstance(value, Volume) else value.name
        return [
            NewEntry(
                f"volume/{subject}" if is_volume else f"node/{subject}",
                msgspec.json.encode(
                    JournalLine(
                        at=self._clock.wall_s(),
                        subject=subject,
                        name=value.name,
                        event=kind,
                        line=line,
                        cause=cause,
                        version=value.version if isinstance(value, Volume) else 0,
                    )
                ),
            )
            for line in answer.lines
        ]


def _check(before: Volume, after: Volume) -> None:
    """The invariants stand beside the law, not in it: what it lets pass by mistake is stopped here."""
    findings = [finding for finding in check_step(before, after) if finding.severity is Severity.BROKEN]
    if findings:
        raise InvariantBroken("; ".join(map(str, findings)))


def _moved_on(view: Mapping[NodeName, Node], now: Mapping[NodeName, Node | None]) -> Refused | None:
    """A choice made on labels, marks or a boot that are no longer so is void. Promised space is judged by itself."""
    for name, node in now.items():
        planned = view.get(name)
        if planned is not None and (node is None or _standing(node) != _standing(planned)):
            return Refused(kind=RefusalKind.STALE, why=f"{name} has changed since this was decided")
    return None


def _standing(node: Node) -> Node:
    return msgspec.structs.replace(node, disks=())


def name_key(name: VolumeName) -> str:
    """Where the store keeps which volume has a name."""
    return f"name/{name}"


def _frees_name(value: Volume | None) -> bool:
    """A volume that is being deleted, or gone, does not keep its name."""
    return value is None or value.deleting


def _write(document: Document[Volume], value: Volume | None) -> Write:
    return VOLUMES.delete(document) if value is None else VOLUMES.replace(document, value)
