"""What clients of every volume saw, block by block: S2, S3, S4 and S7 as clients notice them (docs/design.md, section 4).

A request belongs to the session whose engine it was sent to. What is asked of a session after the record had ended it must
never be answered; like all that it had not decided, it has happened when the next one opens, or never does (S2: a fence
seals one replica, the next open all of them). What is asked of it after that must never be seen. Pure; the caller says
what happened, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shorthorn.sim.judges.registers import Register, Violation

BLOCK = 4096
SECTOR = 512
"""What a disk writes whole: after a loss of all copies a block may be a mix of these (docs/protocol.md, A14)."""

_WORDS = BLOCK // 8
_SECTORS = BLOCK // SECTOR


class Kind(StrEnum):
    """What a client asks for. Trims are writes of zeroes."""

    WRITE = "write"
    TRIM = "trim"
    READ = "read"
    FLUSH = "flush"


@dataclass(slots=True)
class Request:
    """One request of a client. `void`: sent to a session that was over. `closed`: the next session has opened since."""

    op: int
    volume: str
    epoch: int
    kind: Kind
    blocks: Sequence[int]
    value: int
    fua: bool = False
    void: bool = False
    closed: bool = False


@dataclass(slots=True)
class _Volume:
    """`over_through`: sessions up to this epoch are over. `opened`: the last that opened; `served`: that answered a request.

    `took_rot`: see `Histories.took_rot`.
    """

    over_through: int = 0
    opened: int = 0
    served: int = 0
    took_rot: bool = False
    registers: dict[int, Register] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    cut: list[Request] = field(default_factory=list)


def content_of(value: int) -> bytes:
    """A block of one value."""
    return value.to_bytes(8, "little") * _WORDS


def value_of(data: bytes) -> int | tuple[int, ...]:
    """Which write made this block, or which ones its sectors. Raises `Violation` for a sector that none makes."""
    word = data[:8]
    if data == word * _WORDS:
        return int.from_bytes(word, "little")
    values = []
    for at in range(0, BLOCK, SECTOR):
        sector = data[at : at + SECTOR]
        if sector != sector[:8] * (SECTOR // 8):
            raise Violation(f"a sector holds parts of two writes: {sector[:16].hex()} … {sector[-16:].hex()}")
        values.append(int.from_bytes(sector[:8], "little"))
    return tuple(values)


class Histories:
    """All volumes, by uid. Every method that can find what must not be raises `Violation`."""

    def __init__(self) -> None:
        self._volumes: dict[str, _Volume] = {}
        self._ops = 0

    def call(
        self,
        uid: str,
        epoch: int,
        kind: Kind,
        blocks: Sequence[int],
        *,
        fua: bool = False,
        value: int | None = None,
    ) -> Request:
        """A request is about to be sent to the engine of a session. A write writes `value`, or else its own `op`."""
        self._ops += 1
        written = 0 if kind is Kind.TRIM else self._ops if value is None else value
        volume = self._volumes.setdefault(uid, _Volume())
        void = epoch <= volume.over_through
        request = Request(self._ops, uid, epoch, kind, tuple(blocks), written, fua, void)
        if void:
            self._call_late(volume, request)
        else:
            volume.requests[request.op] = request
            for block in self._blocks(volume, request):
                register = self._register(volume, uid, block)
                if kind is Kind.READ:
                    register.call_read(request.op)
                elif kind is Kind.FLUSH:
                    register.call_flush(request.op)
                else:
                    register.call_write(request.op, written, fua=fua)
        return request

    def _call_late(self, volume: _Volume, request: Request) -> None:
        """Nobody answers it; a change may reach a replica that is not sealed yet, until the next session opens."""
        if request.kind in (Kind.WRITE, Kind.TRIM) and request.epoch >= volume.opened:
            for block in request.blocks:
                self._register(volume, request.volume, block).call_write(request.op, request.value)
            volume.cut.append(request)

    def done(self, request: Request, data: bytes = b"") -> None:
        """It was answered without an error; `data`: what was read."""
        if request.void:
            raise Violation(
                f"S2: {_spoken(request)} was answered by session {request.epoch & 0xFFFFFFFF}, which was over when it was sent"
            )
        volume = self._volumes[request.volume]
        volume.served = max(volume.served, request.epoch)
        for at, block in enumerate(self._blocks(volume, request)):
            register = self._register(volume, request.volume, block)
            if request.kind is Kind.READ:
                _show(volume, register, request.op, data[at * BLOCK : (at + 1) * BLOCK])
            elif request.kind is Kind.FLUSH:
                register.flushed(request.op)
            else:
                register.written(request.op)
        volume.requests.pop(request.op, None)

    def failed(self, request: Request) -> None:
        """It was answered with an error: nothing of it was applied."""
        if request.void:
            return
        volume = self._volumes[request.volume]
        for block in self._blocks(volume, request):
            register = self._register(volume, request.volume, block)
            if request.kind in (Kind.READ, Kind.FLUSH) or request.closed:
                register.over(request.op)
            else:
                register.refused(request.op)
        volume.requests.pop(request.op, None)

    def cut(self, request: Request) -> None:
        """No answer will come. A write may still take effect until the next session opens."""
        volume = self._volumes[request.volume]
        if request.void or volume.requests.pop(request.op, None) is None:
            return
        if request.kind in (Kind.READ, Kind.FLUSH) or request.closed:
            self._over(volume, request)
        else:
            volume.cut.append(request)

    def session_over(self, uid: str, epoch: int) -> None:
        """The record says that this session is over: what is asked of it from now on must not happen (S7)."""
        volume = self._volumes.setdefault(uid, _Volume())
        volume.over_through = max(volume.over_through, epoch)

    def opened(self, uid: str, epoch: int, *, broken: bool) -> None:
        """Another session opens, or replicas were made equal without one: what was undecided has happened or never will."""
        volume = self._volumes.setdefault(uid, _Volume())
        if epoch <= volume.opened:
            raise Violation(f"S8: session {epoch} opened after {volume.opened}")
        volume.opened = epoch
        volume.over_through = max(volume.over_through, epoch - 1)
        for register in volume.registers.values():
            register.session_over(broken=broken)
        for request in volume.requests.values():
            request.closed = True
        cut, volume.cut = volume.cut, []
        for request in cut:
            self._over(volume, request)

    def took_rot(self, uid: str) -> None:
        """Bits flipped in a copy, and then all had lost power while open: in a marked region nobody can tell a torn block from
        a rotten one, and it is taken as it is (docs/protocol.md, A14). What no write made is nobody's fault from now on.
        """
        self._volumes.setdefault(uid, _Volume()).took_rot = True

    def gone(self, uid: str) -> None:
        """The volume was deleted."""
        volume = self._volumes.get(uid)
        if volume is not None:
            volume.over_through = 1 << 63
            volume.registers.clear()
            volume.cut.clear()
            for request in volume.requests.values():
                request.closed = True

    def judge_copy(self, uid: str, name: str, block: int, data: bytes) -> None:
        """A replica's content of a block while nothing is under way: what a read might show now."""
        volume = self._volumes.get(uid)
        register = volume.registers.get(block) if volume else None
        if volume is None or register is None:
            if any(data):
                raise Violation(f"S3: {name} holds something in block {block}, which nobody ever wrote")
            return
        self._ops += 1
        register.call_read(self._ops)
        _show(volume, register, self._ops, data)

    def served(self, uid: str) -> int:
        """The epoch of the last session that answered a request; 0: none did."""
        volume = self._volumes.get(uid)
        return volume.served if volume else 0

    def crowd(self, uid: str, block: int) -> int:
        """Writes of a block without an answer."""
        volume = self._volumes.get(uid)
        register = volume.registers.get(block) if volume else None
        return register.crowd if register else 0

    def blocks(self, uid: str) -> list[int]:
        """The blocks of a volume that were ever used."""
        volume = self._volumes.get(uid)
        return sorted(volume.registers) if volume else []

    def _blocks(self, volume: _Volume, request: Request) -> Sequence[int]:
        return list(volume.registers) if request.kind is Kind.FLUSH else request.blocks

    def _register(self, volume: _Volume, uid: str, block: int) -> Register:
        register = volume.registers.get(block)
        if register is None:
            register = volume.registers[block] = Register(f"{uid} block {block}")
        return register

    def _over(self, volume: _Volume, request: Request) -> None:
        for block in self._blocks(volume, request):
            self._register(volume, request.volume, block).over(request.op)


def _show(volume: _Volume, register: Register, op: int, data: bytes) -> None:
    try:
        value = value_of(data)
    except Violation:
        if not volume.took_rot:
            raise
        register.over(op)
    else:
        register.shown(op, value)


def _spoken(request: Request) -> str:
    return f"{request.kind.value} {request.op} of blocks {list(request.blocks)} of {request.volume}"
