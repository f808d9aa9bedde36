"""Clients of the device: what they call, what they are told, and whether that can be."""

from dataclasses import dataclass

from shorthorn.native._native import (
    ClientData,
    ClientDone,
    ClientExtents,
    ClientFlush,
    ClientRead,
    ClientRefused,
    ClientWrite,
)
from tests.native.register import Register

BLOCK = 4096
SECTOR = 512
"""What a disk writes whole: after a loss of all copies a block may be a mix of these (docs/protocol.md, A14)."""

Answer = ClientDone | ClientData | ClientExtents | ClientRefused


def content_of(value: int) -> bytes:
    """A block of one value."""
    return value.to_bytes(8, "little") * (BLOCK // 8)


def values_of(data: bytes) -> list[int]:
    """The value of each sector of a block."""
    values = []
    for at in range(0, BLOCK, SECTOR):
        sector = data[at : at + SECTOR]
        values.append(int.from_bytes(sector[:8], "little"))
        assert sector == sector[:8] * (SECTOR // 8), "a sector holds parts of two writes"
    return values


@dataclass(slots=True, kw_only=True)
class Call:
    """A client's request. `result`: what was read (of its first sector), else 0; None while there is no answer."""

    op: int
    asked: str
    block: int | None
    fua: bool = False
    result: int | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        return self.result is not None or self.error is not None


class Clients:
    """One client for each request, on blocks whose sectors are judged one by one. A written value is its call's op."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        self._sectors = {block: _registers(block) for block in blocks}
        self._may_tear = False
        self.waiting: dict[int, Call] = {}
        self._ops = 0

    def write(self, block: int, *, fua: bool = False) -> tuple[Call, ClientWrite]:
        """Write the call's `op`."""
        call = self._call("write", block, fua=fua)
        for register in self._sectors[block]:
            register.write(call.op, call.op)
        return call, ClientWrite(call.op, call.op, block * BLOCK, content_of(call.op), fua)

    def read(self, block: int) -> tuple[Call, ClientRead]:
        """Read one block."""
        call = self._call("read", block)
        for register in self._judges(call):
            register.watch(call.op)
        return call, ClientRead(call.op, call.op, block * BLOCK, BLOCK)

    def flush(self) -> tuple[Call, ClientFlush]:
        """What was answered is to be durable."""
        call = self._call("flush", None)
        for register in self._judges(call):
            register.watch(call.op)
        return call, ClientFlush(call.op, call.op)

    def answered(self, answer: Answer) -> None:
        """An engine answers. Raises `Impossible` if that can't be."""
        call = self.waiting.pop(answer.cookie, None)
        if call is None:
            return
        match answer:
            case ClientRefused(error=error):
                call.error = error
                self._failed(call)
            case ClientData(data=data):
                values = values_of(data)
                assert self._may_tear or len(set(values)) == 1, "a block holds parts of two writes"
                call.result = values[0]
                for register, value in zip(self._judges(call), values, strict=True):
                    register.read(call.op, value)
            case ClientDone():
                call.result = 0
                for register in self._judges(call):
                    if call.asked == "flush":
                        register.flushed(call.op)
                    else:
                        register.written(call.op, fua=call.fua)
            case ClientExtents():
                raise AssertionError("nobody asks for extents here")

    def abandoned(self) -> None:
        """The engine is gone: no answers any more."""
        for call in self.waiting.values():
            call.error = "gone"
            if call.asked != "write":
                self._forget(call)
        self.waiting.clear()

    def opened(self, *, broken: bool) -> None:
        """A session is open."""
        self._may_tear |= broken
        for register in self._all():
            register.opened(broken=broken)

    def lose(self) -> None:
        """All copies lost power, and one of them becomes the content."""
        self._may_tear = True
        for register in self._all():
            register.lose()

    def _call(self, asked: str, block: int | None, *, fua: bool = False) -> Call:
        self._ops += 1
        call = Call(op=self._ops, asked=asked, block=block, fua=fua)
        self.waiting[call.op] = call
        return call

    def _all(self) -> list[Register]:
        return [register for registers in self._sectors.values() for register in registers]

    def _judges(self, call: Call) -> list[Register]:
        return self._all() if call.block is None else self._sectors[call.block]

    def _failed(self, call: Call) -> None:
        for register in self._judges(call):
            if call.asked == "write":
                register.refused(call.op)
            else:
                register.forget(call.op)

    def _forget(self, call: Call) -> None:
        for register in self._judges(call):
            register.forget(call.op)


def _registers(block: int) -> list[Register]:
    return [Register(f"block {block}, sector {sector}") for sector in range(BLOCK // SECTOR)]
