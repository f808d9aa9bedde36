"""The simulator's own truth, held against every commit: which engines live, which copies lost power, who was told what.

S1, S7 and S10 as they really are, S3's "unless every copy lost power", and every client's history (docs/design.md, section 4).
"""

from collections.abc import Callable, Iterable, Mapping

from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.volume import Replica, SessionPhase, Volume
from shorthorn.sim.cluster.node import NodeHost, session_of
from shorthorn.sim.judges.copies import Content, judge_equal
from shorthorn.sim.judges.histories import Histories
from shorthorn.sim.judges.records import BROKEN_LINE, Records, Step
from shorthorn.sim.judges.registers import Violation
from shorthorn.sim.machine.process import Process


class Truth:
    """Listens to the judge of records. `note` gets what people may want to read, `counted` the sessions.

    `content`: what a replica's disk holds; whenever the record says that copies are equal, they are compared.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeHost],
        note: Callable[[str, str], None],
        counted: Callable[[str], None],
        content: Callable[[Replica], Content | None],
    ) -> None:
        self.records = Records(self)
        self.histories = Histories()
        self.without_power = 0
        self._nodes = nodes
        self._note = note
        self._counted = counted
        self._content = content
        self._began: dict[tuple[str, int], str] = {}
        self._shaken: dict[str, None] = {}
        self._broken: dict[str, int] = {}
        self._lost_power: dict[str, int] = {}
        """By replica: the attempt in which its node went off."""
        self.rotten: dict[str, None] = {}
        """The uids of volumes of which bits of a copy flipped."""
        self.steady = False
        """Whether nothing has been broken for so long that no session may end but by its consumers (L8)."""

    def told(self, line: JournalLine) -> None:
        """A line of the journal."""
        cause = "" if line.cause in line.line else f"  [{line.cause}]"
        self._note(line.name, line.line + cause)

    def stepped(self, step: Step) -> None:
        """A commit changed a volume. Raises `Violation`."""
        before, after = step.before, step.after
        if after is None:
            if before is not None:
                self._deleted(before)
            return
        if before is None:
            return
        self._resynced(before, after)
        session = after.session
        if session is not None and after.epoch != before.epoch:
            self._calm(r.id for r in after.replicas)
        if before.session is not None and (session is None or session.epoch != before.session.epoch):
            self._ended(before, after, step.lines)
        if session is not None and session.phase is SessionPhase.OPEN and after.opened_epoch == session.epoch:
            if before.opened_epoch != session.epoch:
                self._opened(after, before.opened_epoch, step.lines)
        elif after.opened_epoch != before.opened_epoch:
            self._settled(after)

    def program_began(self, process: Process) -> None:
        """A program runs on a node. Raises `Violation` for the second engine of one epoch, wherever the first was (B15)."""
        if process.name != "engine":
            return
        session = session_of(process)
        if (first := self._began.setdefault(session, repr(process))) != repr(process):
            volume, epoch = session
            raise Violation(
                f"B15: {process} is an engine of {volume} in epoch {epoch & 0xFFFFFFFF}, as {first} was"
            )

    def power_lost(self, node: str) -> None:
        """A node went off: what its replicas had not on disk may be gone, where something could have been written."""
        for volume in self.records.volumes.values():
            self._shaken.update(dict.fromkeys(r.id for r in volume.replicas if r.node == node))
            if volume.session is not None or not volume.settled or volume.tasks:
                self._lost_power.update((r.id, int(r.attempt)) for r in volume.replicas if r.node == node)

    def engines(self, uid: str, epoch: int | None = None) -> list[tuple[str, int, bool]]:
        """Engines of a volume that live: node, epoch, whether it is stopped."""
        found = []
        for name, node in self._nodes.items():
            for process in node.engines():
                volume, of = session_of(process)
                if volume == uid and epoch in (None, of):
                    found.append((name, of, process.paused))
        return found

    def _deleted(self, volume: Volume) -> None:
        """L6 as it is: no disk anywhere has a folder of it."""
        self.histories.gone(volume.uid)
        mine = set(self.records.replicas_of(volume.uid))
        for name, node in self._nodes.items():
            left = [folder for folder in node.folders() if folder in mine]
            if left:
                raise Violation(f"L6: {volume.name} is gone from the record, {left[0]} is still on {name}")

    def _opened(self, volume: Volume, last: int, lines: tuple[JournalLine, ...]) -> None:
        """`last`: the epoch that was opened before. If it was broken and its engine died before it was told so and served
        anybody, its replicas are still torn, and the next one says the same once more.
        """
        assert volume.session is not None
        epoch, broken = volume.session.epoch, any(x.line.startswith(BROKEN_LINE) for x in lines)
        members = [r.id for r in volume.in_sync]
        whole = [r for r in members if r not in self._lost_power]
        again = self._broken.get(volume.uid) == last and self.histories.served(volume.uid) < last
        if broken and whole and not again:
            raise Violation(f"S3: {volume.name} opened as broken, and {', '.join(whole)} never lost power")
        if broken:
            self._broken[volume.uid] = epoch
        if not whole and volume.uid in self.rotten:
            self.histories.took_rot(volume.uid)
        self._equal(members)
        self.histories.opened(volume.uid, epoch, broken=broken)
        self._compare(volume, "opened")
        self._counted("broken" if broken else "opened")

    def _settled(self, volume: Volume) -> None:
        """Made equal without a session: what only lost copies could tell may be gone; clients had let go before."""
        members = [r.id for r in volume.in_sync]
        broken = all(r in self._lost_power for r in members)
        if broken and volume.uid in self.rotten:
            self.histories.took_rot(volume.uid)
        self._equal(members)
        self.histories.opened(volume.uid, volume.opened_epoch, broken=broken)
        self._compare(volume, "settled")
        self._counted("settled")

    def _ended(self, before: Volume, after: Volume, lines: tuple[JournalLine, ...]) -> None:
        session = before.session
        assert session is not None
        self.histories.session_over(before.uid, session.epoch)
        by_fence = any(x.event == "fence_held" for x in lines)
        by_itself = any(x.cause.startswith("engine") for x in lines)
        self._counted("fenced" if by_fence else "ended")
        alive = self.engines(before.uid, session.epoch)
        if alive and not by_fence and not by_itself:
            raise Violation(
                f"S7: session {session.epoch & 0xFFFFFFFF} of {before.name} was said to be over on {session.node}, "
                f"where its engine lives"
            )
        if self.steady and before.opened_epoch == session.epoch and not after.settled:
            raise Violation(
                f"L8: session {session.epoch & 0xFFFFFFFF} of {before.name} ended unclean, and nothing is broken"
            )
        if after.settled:
            self._equal(r.id for r in after.in_sync)
            self._compare(after, "settled")

    def _resynced(self, before: Volume, after: Volume) -> None:
        """What was copied in full since its node went off has everything again: it came in-sync by a later attempt."""
        members = {r.id for r in before.in_sync}
        for replica in after.in_sync:
            if replica.id not in members and replica.attempt > self._lost_power.get(
                replica.id, replica.attempt
            ):
                del self._lost_power[replica.id]

    def _equal(self, replicas: Iterable[str]) -> None:
        for replica in replicas:
            self._lost_power.pop(replica, None)

    def _calm(self, replicas: Iterable[str]) -> None:
        for replica in replicas:
            self._shaken.pop(replica, None)

    def _compare(self, volume: Volume, why: str) -> None:
        """Copies that lost power since the session began may not be equal any more; nor is one whose program is not there."""
        copies = []
        for replica in volume.in_sync:
            host = self._nodes[replica.node]
            if replica.id in self._shaken or not host.machine.powered or not any(host.replica_programs()):
                continue
            if (content := self._content(replica)) is not None:
                copies.append((replica, content))
        judge_equal(volume, copies, self.histories, why)
