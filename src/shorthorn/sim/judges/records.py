"""Judges every commit: each step of a document, all documents together, the journal, identities (S1, S5-S10).

Apart from the law and from planning: it sees what became true, and nothing of why. `listener` is told what a commit meant
for sessions, so that others can hold it against the truth.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import msgspec

from shorthorn.control.records import NODES, SETTINGS, VOLUMES
from shorthorn.core.invariants.finding import Finding, Severity
from shorthorn.core.invariants.step import check_step
from shorthorn.core.invariants.volume import check_volume
from shorthorn.core.invariants.world import check_world
from shorthorn.core.model.ids import NodeName, VolumeUid
from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Settings, World
from shorthorn.ports.store import Batch, Stored
from shorthorn.sim.judges.registers import Violation

_line = msgspec.json.Decoder(JournalLine)

BROKEN_LINE = "broken:"
"""How the journal's line begins that says that unflushed writes may be gone."""


@dataclass(frozen=True, slots=True)
class Step:
    """A volume's document before and after one commit, with the journal's lines of that commit."""

    before: Volume | None
    after: Volume | None
    lines: tuple[JournalLine, ...]


class Listener(Protocol):
    """Who wants to hear of every step of a volume. May raise `Violation`."""

    def stepped(self, step: Step) -> None:
        """A commit changed a volume."""
        ...

    def told(self, line: JournalLine) -> None:
        """A line of the journal."""
        ...


class Records:
    """The documents as the judge knows them, from the batches alone."""

    def __init__(self, listener: Listener) -> None:
        self.volumes: dict[VolumeUid, Volume] = {}
        self.nodes: dict[NodeName, Node] = {}
        self.settings: Settings | None = None
        self.entries = 0
        self._listener = listener
        self._revision = 0
        self._replicas: dict[str, str] = {}
        self._gone: set[str] = set()

    def take(self, batch: Batch) -> None:
        """A commit became true. Raises `Violation`."""
        if batch.revision != self._revision + 1:
            raise Violation(f"S8: revision {batch.revision} after {self._revision}")
        self._revision = batch.revision
        lines: list[JournalLine] = []
        for entry in batch.journal:
            if entry.number != self.entries + 1:
                raise Violation(f"S8: journal entry {entry.number} after {self.entries}")
            self.entries = entry.number
            lines.append(_line.decode(entry.body))
        steps: list[Step] = []
        for change in batch.changes:
            if change.key.startswith(VOLUMES.prefix):
                steps.append(self._volume(change.key, batch.revision, change.value, lines))
            elif change.key.startswith(NODES.prefix):
                self._node(change.key, batch.revision, change.value)
            elif change.key == SETTINGS.key("") and change.value is not None:
                self.settings = SETTINGS.decode(Stored(change.key, batch.revision, change.value)).value
        if self.settings is not None and (steps or batch.journal):
            _raise(check_world(self.world()))
        for step in steps:
            self._listener.stepped(step)
        for line in lines:
            self._listener.told(line)

    def world(self) -> World:
        """The documents, with nothing seen."""
        assert self.settings is not None
        return World(
            settings=self.settings,
            volumes=MappingProxyType(self.volumes),
            nodes=MappingProxyType(self.nodes),
            seen=MappingProxyType({}),
        )

    def named(self, name: str) -> Volume | None:
        """The volume of this name; one that is being deleted only if no other has it."""
        found = [v for v in self.volumes.values() if v.name == name]
        return min(found, key=lambda v: v.deleting, default=None)

    def replicas_of(self, uid: VolumeUid) -> list[str]:
        """The ids of every replica that a volume ever had."""
        return [replica for replica, of in self._replicas.items() if of == uid]

    def _volume(self, key: str, revision: int, value: bytes | None, lines: list[JournalLine]) -> Step:
        uid = VolumeUid(VOLUMES.name(key))
        before = self.volumes.get(uid)
        mine = tuple(line for line in lines if line.subject == uid)
        if not mine:
            raise Violation(f"S8: {uid} changed without a line in the journal")
        if value is None:
            del self.volumes[uid]
            self._gone.add(uid)
            if before is not None and (before.replicas or len(before.tombstones) > 1):
                raise Violation(f"L6: {before.name} is gone from the record, its folders may not be")
            return Step(before, None, mine)
        if uid in self._gone:
            raise Violation(f"S8: volume {uid} came back after it was deleted")
        after = VOLUMES.decode(Stored(key, revision, value)).value
        self.volumes[uid] = after
        _raise(check_volume(after) if before is None else check_step(before, after))
        self._asked(before, after, mine)
        self._identities(uid, before, after)
        return Step(before, after, mine)

    def _asked(self, before: Volume | None, after: Volume, lines: tuple[JournalLine, ...]) -> None:
        """Only a consumer adds an attachment (S1, S10)."""
        had = {a.holder for a in before.attachments} if before else set()
        new = [a.holder for a in after.attachments if a.holder not in had]
        for holder in new:
            if not any(x.event == "attach_requested" and x.cause == f"holder {holder}" for x in lines):
                causes = "; ".join(f"{x.event} by {x.cause}" for x in lines)
                raise Violation(
                    f"S10: {after.name} got attachment {holder} that no consumer asked for: {causes}"
                )

    def _identities(self, uid: VolumeUid, before: Volume | None, after: Volume) -> None:
        known = {r.id for r in before.replicas} if before else set()
        for replica in after.replicas:
            if replica.id in known:
                continue
            if replica.id in self._replicas:
                raise Violation(f"S8: replica id {replica.id} of {after.name} was used before")
            self._replicas[replica.id] = uid

    def _node(self, key: str, revision: int, value: bytes | None) -> None:
        name = NodeName(NODES.name(key))
        if value is None:
            self.nodes.pop(name, None)
        else:
            self.nodes[name] = NODES.decode(Stored(key, revision, value)).value


def _raise(findings: list[Finding]) -> None:
    broken = [str(finding) for finding in findings if finding.severity is Severity.BROKEN]
    if broken:
        raise Violation("; ".join(broken))
