"""What a run must not let pass, planted: each of these went unnoticed once."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from shorthorn.core.model.ids import Attempt, Epoch
from shorthorn.core.model.volume import ReplicaPhase, SessionPhase, Volume
from shorthorn.native._native import CorruptError, DiskError
from shorthorn.sim.cluster.truth import Truth
from shorthorn.sim.faults.schedule import Schedule, Shape, Step
from shorthorn.sim.judges import records
from shorthorn.sim.judges.copies import judge_copies
from shorthorn.sim.judges.histories import Histories, Kind, Request
from shorthorn.sim.judges.registers import Violation
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Network
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.device import Answer, Device
from shorthorn.sim.runs.run import Run
from tests.sim.cluster.test_records import UID, attached, formed, session


class Copy:
    """A replica's content that can't be read, or shows one thing everywhere."""

    def __init__(self, shows: bytes | DiskError) -> None:
        self._shows = shows

    def read(self, _offset: int, length: int) -> bytes:
        if isinstance(self._shows, DiskError):
            raise self._shows
        return self._shows * length

    def marks(self) -> list[tuple[int, int]]:
        return []


def used() -> Histories:
    """Block 0 was written once, with zeroes."""
    histories = Histories()
    histories.opened(UID, 1, broken=False)
    histories.done(histories.call(UID, 1, Kind.TRIM, (0,)))
    return histories


def test_at_rest_every_copy_can_be_opened_and_read() -> None:
    assert judge_copies([formed()], used(), lambda _: Copy(b"\0")) >= 1
    with pytest.raises(Violation, match="can't be opened"):
        judge_copies([formed()], used(), lambda _: None)
    with pytest.raises(Violation, match="can't be read"):
        judge_copies([formed()], used(), lambda _: Copy(DiskError("it failed")))


def test_only_a_copy_of_which_a_bit_flipped_may_be_corrupt() -> None:
    bad = Copy(CorruptError("block 0"))
    assert judge_copies([formed()], used(), lambda _: bad, rotten=[UID]) == 0
    with pytest.raises(Violation, match="no bit flipped"):
        judge_copies([formed()], used(), lambda _: bad)


def open_session(epoch: int, *, attempt: int = 1, member: bool = True) -> Volume:
    found = formed()
    first = msgspec.structs.replace(
        found.replicas[0],
        attempt=Attempt(attempt),
        phase=ReplicaPhase.IN_SYNC if member else ReplicaPhase.SYNCING,
    )
    return msgspec.structs.replace(
        found,
        replicas=(first, *found.replicas[1:]),
        epoch=Epoch(epoch),
        opened_epoch=Epoch(epoch),
        settled=False,
        attachments=attached("h"),
        session=msgspec.structs.replace(session(SessionPhase.OPEN), epoch=Epoch(epoch)),
    )


def truth() -> Truth:
    return Truth({}, lambda _who, _what: None, lambda _what: None, lambda _replica: None)


def broken_open(judge: Truth, before: Volume) -> None:
    line = cast(
        "Any", SimpleNamespace(line=f"{records.BROKEN_LINE} gone", event="session_opened", cause="engine")
    )
    started = msgspec.structs.replace(
        open_session(2, attempt=int(before.replicas[0].attempt)), opened_epoch=before.opened_epoch
    )
    judge.stepped(records.Step(started, open_session(2, attempt=int(before.replicas[0].attempt)), (line,)))


def test_a_copy_that_was_resynced_since_it_lost_power_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """No open may be broken on its account any more (S3)."""
    monkeypatch.setattr(Truth, "_compare", lambda *_: None)
    judge = truth()
    member = open_session(1)
    judge.records.volumes[UID] = member
    judge.power_lost(str(member.replicas[0].node))
    lost, back = open_session(1, attempt=2, member=False), open_session(1, attempt=2)
    judge.stepped(records.Step(member, lost, ()))
    judge.stepped(records.Step(lost, back, ()))
    with pytest.raises(Violation, match="never lost power"):
        broken_open(judge, back)


def test_a_copy_that_lost_power_and_was_not_resynced_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Truth, "_compare", lambda *_: None)
    judge = truth()
    member = open_session(1)
    judge.records.volumes[UID] = member
    judge.power_lost(str(member.replicas[0].node))
    broken_open(judge, member)


def test_a_session_does_not_end_unclean_while_nothing_is_broken() -> None:
    judge = truth()
    over = msgspec.structs.replace(open_session(1), session=None)
    judge.stepped(records.Step(open_session(1), over, ()))
    judge.steady = True
    with pytest.raises(Violation, match=r"L8: session 1 .* ended unclean"):
        judge.stepped(records.Step(open_session(1), over, ()))


def in_use(*more: Step) -> Schedule:
    steps: Sequence[Step] = [
        Step(at_s=5.0, do="create", of=("v1", "2", "granted")),
        Step(at_s=10.0, do="attach", of=("v1", "n1", "h", "rw")),
        Step(at_s=15.0, do="io", of=("v1", "burst"), for_s=90.0),
        *more,
    ]
    shape = Shape(seed=5, nodes=3)
    return Schedule(shape=shape, steps=tuple(steps), calm_s=(60.0,), period_s=900.0, work_s=400.0)


def test_what_one_of_many_clients_saw_counts_also_when_they_lose_power_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task that saw it is never waited for then."""
    done, seen = Histories.done, []

    def wrong(histories: Histories, request: Request, data: bytes = b"") -> None:
        seen.append(request)
        if len(seen) == 12:
            raise Violation("S4: planted")
        done(histories, request, data)

    monkeypatch.setattr(Histories, "done", wrong)
    failure = Run(in_use(Step(at_s=17.0, do="power", of=("n1",), for_s=5.0))).execute().failure
    assert failure is not None
    assert failure.what == "S4: planted"


def test_a_client_that_is_never_answered_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the record calls the volume attached, and its engine lives."""
    take, heard = Device._take, []

    def deaf(device: Device, answer: Answer) -> None:
        heard.append(answer)
        if len(heard) != 12:
            take(device, answer)

    monkeypatch.setattr(Device, "_take", deaf)
    failure = Run(in_use()).execute().failure
    assert failure is not None
    assert failure.rule == "L2"
    assert "a client waits for" in failure.what


def test_an_epoch_has_one_engine_ever() -> None:
    """Also when the first one has ended long ago (B2, B15)."""
    judge = truth()
    kernel = Kernel(1)
    network = Network(kernel)
    machines = [Machine(kernel, network, name) for name in ("n1", "n2")]

    async def nothing(_process: Process) -> None:
        return

    def engine(machine: Machine, epoch: int) -> Process:
        command = ("engine", "--order", f"/node/engines/v-1.{epoch}/order.json")
        return machine.spawn("engine", nothing, command=command)

    judge.program_began(engine(machines[0], 1))
    judge.program_began(engine(machines[0], 2))
    with pytest.raises(Violation, match=r"B15: n2 engine.* as n1 engine"):
        judge.program_began(engine(machines[1], 1))
    kernel.close()
