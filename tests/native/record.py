"""The record of one volume with the guards of docs/protocol.md that sessions and copiers meet. One call, one commit.

Stands in for the control plane until the simulator brings the real one; knows no machine.
"""

from dataclasses import dataclass

from shorthorn.links import program_lines as lines

CLUSTER = "c"
VOLUME = "v"

AskOf = lines.AskOpened | lines.AskLost | lines.AskSynced | lines.AskClosed
"""What an engine asks."""


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A replica, by the record."""

    in_sync: bool
    attempt: int = 1
    stored_m: int = 0


class Record:
    """`session`: epoch of the one under way; `is_open`: it was opened."""

    def __init__(self, size: int, in_sync: list[bool]) -> None:
        self.size = size
        self.epoch = 0
        self.opened_epoch = 0
        self.m = 1
        self.version = 1
        self.settled = True
        self.replicas = [Recorded(in_sync=one) for one in in_sync]
        self.session: int | None = None
        self.is_open = False
        self.broken = False

    def document(self) -> lines.Document:
        """The document as it is now."""
        return lines.Document(
            era=1, version=self.version, m=self.m, size=self.size, chain=("l1",), head="l1", body="{}"
        )

    def in_sync(self) -> list[int]:
        """Indices of the in-sync replicas."""
        return [index for index, one in enumerate(self.replicas) if one.in_sync]

    def session_order(self, node: int) -> lines.SessionOrder:
        """SessionStarted on a node."""
        self._raise_epoch()
        self.session, self.is_open = self.epoch, False
        return lines.SessionOrder(
            cluster=CLUSTER,
            volume=VOLUME,
            name="v1",
            epoch=self.epoch,
            opened_epoch=self.opened_epoch,
            settled=self.settled,
            read_only=False,
            targets=self._targets(node),
            document=self.document(),
            endpoint="/v1.sock",
            agent="/agent.sock",
            open_grace_ms=300,
            open_grace_torn_ms=600,
            grant_ms=200,
            silence_ms=5000,
            close_ms=3000,
            space_wait_ms=0,
            strict_reads=False,
        )

    def copy_order(self, node: int, work: lines.SettleWork | lines.MoveWork) -> lines.CopyOrder:
        """Work without a session; every seal of it is a new one."""
        self._raise_epoch()
        return lines.CopyOrder(
            task=f"t{self.epoch}",
            cluster=CLUSTER,
            volume=VOLUME,
            epoch=self.epoch,
            opened_epoch=self.opened_epoch,
            work=work,
            targets=self._targets(node),
            without=(),
            document=self.document(),
        )

    def ask(self, ask: AskOf) -> lines.Committed | lines.Refused:
        """An engine asks."""
        if ask.epoch != self.session:
            return lines.Refused(why="no such session")
        match ask:
            case lines.AskOpened():
                return self._opened(ask)
            case lines.AskLost():
                return self._lost(ask)
            case lines.AskSynced():
                return self._synced(ask)
            case lines.AskClosed(clean=clean):
                self.close(clean=clean)
                return self._commit()

    def close(self, *, clean: bool) -> None:
        """The session ends, by its engine's word or by its death."""
        self.session, self.is_open, self.broken = None, False, False
        if clean:
            self.settled = True
            for index in self.in_sync():
                self.replicas[index].stored_m = self.m

    def copied(
        self, epoch: int, attempt: int, work: lines.SettleWork | lines.MoveWork
    ) -> lines.Document | None:
        """A copier is ready. None: it comes too late."""
        if self.session is not None or self.epoch != epoch:
            return None
        match work:
            case lines.SettleWork():
                if self.settled:
                    return None
                self.settled = True
            case lines.MoveWork(target=target):
                one = self.replicas[index_of(target)]
                if not self.settled or one.in_sync or one.attempt != attempt:
                    return None
                one.in_sync = True
                self.m += 1
        return self._commit().document

    def drop(self, index: int) -> None:
        """ReplicaDropped: the others were probed, the volume is settled and detached."""
        assert self.session is None
        assert self.settled
        assert len(self.in_sync()) > 1
        self._remove(index)
        self.m += 1
        self.version += 1

    def _opened(self, ask: lines.AskOpened) -> lines.Committed | lines.Refused:
        members = [index_of(name) for name in ask.members]
        if self.is_open:
            # It was answered before, and the answer got lost.
            return lines.Committed(document=self.document(), broken=self.broken)
        if not members or not all(self.replicas[index].in_sync for index in members):
            return lines.Refused(why="members are not in-sync")
        for index in self.in_sync():
            if index not in members:
                self._remove(index)
        self.m += 1
        self.settled, self.is_open, self.broken = False, True, ask.broken
        self.opened_epoch = ask.epoch
        return self._commit(broken=ask.broken)

    def _lost(self, ask: lines.AskLost) -> lines.Committed | lines.Refused:
        one = self.replicas[index_of(ask.replica)]
        if not one.in_sync and one.attempt == ask.attempt + 1:
            return lines.Committed(document=self.document())
        if one.attempt != ask.attempt:
            return lines.Refused(why="attempt")
        if not one.in_sync:
            # No copy is lost, so nobody has to bear witness.
            one.attempt += 1
            return self._commit()
        witness = self.replicas[index_of(ask.witness)]
        if witness is one or not witness.in_sync:
            return lines.Refused(why="witness")
        self._remove(index_of(ask.replica))
        self.m += 1
        return self._commit()

    def _synced(self, ask: lines.AskSynced) -> lines.Committed | lines.Refused:
        one = self.replicas[index_of(ask.replica)]
        base = (ask.base.chain, ask.base.size)
        document = self.document()
        if not self.is_open or one.attempt != ask.attempt or base != (document.chain, document.size):
            return lines.Refused(why="not open, attempt or base")
        if one.in_sync:
            # It was answered before, and the answer got lost.
            return lines.Committed(document=document)
        one.in_sync = True
        self.m += 1
        return self._commit()

    def _remove(self, index: int) -> None:
        self.replicas[index].in_sync = False
        self.replicas[index].attempt += 1

    def _raise_epoch(self) -> None:
        self.epoch += 1
        self.version += 1

    def _commit(self, *, broken: bool = False) -> lines.Committed:
        self.version += 1
        return lines.Committed(document=self.document(), broken=broken)

    def _targets(self, local: int) -> tuple[lines.Target, ...]:
        return tuple(
            lines.Target(
                replica=f"r{index}",
                node=f"n{index}",
                address=f"n{index}:1",
                attempt=one.attempt,
                in_sync=one.in_sync,
                stored_m=one.stored_m,
                local=index == local,
            )
            for index, one in enumerate(self.replicas)
        )


def index_of(replica: str) -> int:
    """Replicas are r0, r1, …, one a node."""
    return int(replica.removeprefix("r"))
