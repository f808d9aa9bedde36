"""Several clients of one volume at once, each with a connection of its own, judged by `registers`.

They write, trim, read and flush a small set of ranges and come back at the same path when cut. Every acknowledged write
must be there, flushed or not: that is what the product promises while some in-sync replica keeps its power, and no test
that uses this takes power away. Reads and writes of one range overlap, and small ranges share a block.
"""

import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from shorthorn.sim.judges.registers import Register, Violation
from tests.support.nbd import BLOCK, ENOSPC, NbdClient, NbdError


class Slot(NamedTuple):
    """Where a register lies, in bytes."""

    offset: int
    length: int


def slots(blocks: int = 12, stride: int = BLOCK, small: int = 4) -> tuple[Slot, ...]:
    """`blocks` registers of a whole block, every `stride` bytes, and `small` ones of 512 bytes in one block behind them."""
    whole = [Slot(i * stride, BLOCK) for i in range(blocks)]
    return (*whole, *(Slot(blocks * stride + i * 512, 512) for i in range(small)))


class SawWrong(AssertionError):
    """A client was shown what no order of the requests explains."""


class _Stopped(Exception):
    """The clients were stopped while this one had no connection."""


class RegisterClients:
    """The clients; a context manager, whose end raises what any of them saw."""

    def __init__(
        self,
        path: str,
        export: str,
        ranges: Sequence[Slot],
        *,
        clients: int = 4,
        seed: int = 1,
        stall_s: float = 120,
        pause_s: float = 0.002,
    ) -> None:
        """`stall_s`: no answer and no connection for so long is a failure. `pause_s`: between two requests of a client."""
        self.path = path
        self.counts: Counter[str] = Counter()
        self.longest_s = 0.0
        self._export = export
        self._slots = tuple(ranges)
        self._registers = [Register(f"range {s.offset}+{s.length}") for s in self._slots]
        self._stall_s, self._pause_s = stall_s, pause_s
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._away: set[str] = set()
        self._open: dict[str, tuple[str, NbdClient]] = {}
        self._number = 0
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed * 1000 + i),), name=f"client {i}")
            for i in range(clients)
        ]

    def clear(self) -> None:
        """Make every range zeroes, as a new volume is. Call it before the clients start."""
        with NbdClient(self.path, self._export, timeout_s=self._stall_s) as client:
            for slot in self._slots:
                client.write(slot.offset, bytes(slot.length))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self._stopping.set()
        if kind is not None:
            with self._lock:
                for _, client in self._open.values():
                    client.cut()  # who waits for an answer would wait long
        for thread in self._threads:
            thread.join()
        if kind is None:
            self.check()

    @property
    def answered(self) -> int:
        """Requests that were answered without an error."""
        return sum(self.counts[kind] for kind in ("reads", "writes", "trims", "flushes"))

    @property
    def errors(self) -> dict[str, int]:
        """Requests that were answered with an error, by NBD's number."""
        return {kind: count for kind, count in sorted(self.counts.items()) if kind.startswith("errors")}

    def check(self) -> None:
        """Raises `AssertionError` with what a client saw that is not allowed."""
        if self._failure is not None:
            kind = SawWrong if isinstance(self._failure, Violation) else AssertionError
            raise kind(f"a client saw: {self._failure!r}") from self._failure

    def another_session_serves(self) -> None:
        """What is unanswered has happened by now, or never will; an answer that comes later must tell of the former (B11)."""
        with self._lock:
            for register in self._registers:
                register.session_over()

    def move(self, path: str, stay: int = 0) -> None:
        """The volume is served at another path now; but for `stay` clients all leave the old one.

        Those go on asking an engine whose session is over, which must tell them nothing that is not so (S2).
        """
        with self._lock:
            self.path = path
            for register in self._registers:
                register.session_over()
            old = sorted(name for name, (where, _) in self._open.items() if where != path)
            for name in old[stay:]:
                self._open[name][1].cut()

    def ask_old(self, path: str, within_s: float) -> None:
        """Read every range where a session is over, each over a connection of its own, and judge what is answered in time.

        An engine that may say nothing answers none; a write that waits there would hold up whoever asks behind it.
        """
        asking = [
            threading.Thread(target=self._ask, args=(path, number, within_s), name=f"asks for {number}")
            for number in range(len(self._slots))
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        self.check()

    def _ask(self, path: str, number: int, within_s: float) -> None:
        try:
            with NbdClient(path, self._export, timeout_s=within_s) as client:
                self._read(client, number, "told late")
        except (OSError, EOFError):
            pass  # no answer, as it should be
        except BaseException as error:  # noqa: BLE001 - told by `check`
            self._failure = self._failure or error

    def leave_old_paths(self) -> None:
        """Those that stayed come over, too."""
        with self._lock:
            for where, client in self._open.values():
                if where != self.path:
                    client.cut()

    def told_late(self, answered: int) -> int:
        """Answers beyond `answered` from a session that is over: one a client at the most, decided before its end (B11)."""
        self.check()
        late = self.answered - answered
        assert late <= len(self._threads), f"{late} answers of a session that is over"
        return late

    def all_cut(self, timeout_s: float = 60) -> int:
        """Wait until no client has a connection, and none gets one; how many there are."""
        began = time.monotonic()
        while len(self._away) < len(self._threads):
            self.check()
            assert time.monotonic() - began < timeout_s, (
                f"only {len(self._away)} of {len(self._threads)} clients are cut"
            )
            time.sleep(0.02)
        return len(self._away)

    def goes_on(self, operations: int = 40, timeout_s: float = 60) -> float:
        """Wait until so many more requests were answered; returns the seconds."""
        began, goal = time.monotonic(), self.answered + operations
        while self.answered < goal:
            self.check()
            took = time.monotonic() - began
            assert took < timeout_s, f"I/O did not go on within {timeout_s:g} s"
            time.sleep(0.02)
        return time.monotonic() - began

    def stands(self, still_s: float = 2, timeout_s: float = 30) -> None:
        """Wait until no request has been answered for `still_s`. Raises `AssertionError` when some always are."""
        began = since = time.monotonic()
        known = self.answered
        while time.monotonic() - since < still_s:
            self.check()
            assert time.monotonic() - began < timeout_s, f"I/O still goes on after {timeout_s:g} s"
            time.sleep(0.05)
            if self.answered != known:
                known, since = self.answered, time.monotonic()

    def verify(self, path: str, export: str) -> None:
        """Read every range twice over a new connection: nothing acknowledged is missing. Call it when stopped."""
        self.check()
        with NbdClient(path, export, timeout_s=self._stall_s) as client:
            for _ in range(2):
                for number in range(len(self._slots)):
                    self._read(client, number, "verified")

    def _run(self, rng: random.Random) -> None:
        try:
            self._go_on(rng)
        except _Stopped:
            pass  # what it had sent stays unanswered, which the registers know
        except BaseException as error:  # noqa: BLE001 - told by `check`
            self._failure = self._failure or error
            self._stopping.set()

    def _go_on(self, rng: random.Random) -> None:
        client = self._connect()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._step(client, rng)
                except TimeoutError:
                    raise AssertionError(f"no answer within {self._stall_s:g} s") from None
                except (OSError, EOFError):
                    client.close()
                    client = self._connect()
                    self._count("reconnects")
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                time.sleep(self._pause_s)
        finally:
            client.close()

    def _step(self, client: NbdClient, rng: random.Random) -> None:
        number = rng.randrange(len(self._slots))
        slot = self._slots[number]
        match rng.randrange(32):
            case 0:
                self._flush(client)
            case 1:
                self._write(number, 0, lambda: client.trim(slot.offset, slot.length), "trims")
            case kind if kind < 16:
                value = self._next()
                data = struct.pack("<Q", value) * (slot.length // 8)
                fua = kind == 2
                self._write(
                    number, value, lambda: client.write(slot.offset, data, fua=fua), "writes", fua=fua
                )
            case _:
                self._read(client, number)

    def _flush(self, client: NbdClient) -> None:
        op = self._next()
        with self._lock:
            for register in self._registers:
                register.call_flush(op)
        done = False
        try:
            client.flush()
            done = True
        except NbdError as error:
            self._count(f"errors {error.errno}")
        finally:
            with self._lock:
                for register in self._registers:
                    if done:
                        register.flushed(op)
                    else:
                        register.over(op)
        if done:
            self._count("flushes")

    def _write(
        self, number: int, value: int, send: Callable[[], None], kind: str, *, fua: bool = False
    ) -> None:
        op, register = self._next(), self._registers[number]
        with self._lock:
            register.call_write(op, value, fua=fua)
        try:
            send()
        except NbdError as error:
            with self._lock:
                if error.errno == ENOSPC:
                    register.refused(op)
                else:
                    register.over(op)
            self._count(f"errors {error.errno}")
        except (OSError, EOFError):
            self._cut(register, op)
            raise
        else:
            with self._lock:
                register.written(op)
            self._count(kind)

    def _read(self, client: NbdClient, number: int, kind: str = "reads") -> None:
        op, register, slot = self._next(), self._registers[number], self._slots[number]
        with self._lock:
            register.call_read(op)
        try:
            content = client.read(slot.offset, slot.length)
        except (NbdError, OSError, EOFError) as error:
            with self._lock:
                register.over(op)
            if not isinstance(error, NbdError):
                raise
            self._count(f"errors {error.errno}")
        else:
            with self._lock:
                register.shown(op, _value_of(content, slot))
            self._count(kind)

    def _cut(self, register: Register, op: int) -> None:
        """The connection broke: its engine ends, and what it had not decided is decided when the next one serves (B11)."""
        self._connect().close()
        with self._lock:
            register.over(op)

    def _connect(self) -> NbdClient:
        """A connection that was negotiated: by then an engine serves. Raises when none does for too long."""
        began, name = time.monotonic(), threading.current_thread().name
        while True:
            path = self.path
            try:
                client = NbdClient(path, self._export, timeout_s=self._stall_s)
                self._away.discard(name)
                with self._lock:
                    self._open[name] = path, client
                    if path != self.path:
                        client.cut()  # it moved while this one came in
                return client
            except (OSError, EOFError) as error:
                self._away.add(name)
                took = time.monotonic() - began
                if self._stopping.is_set():
                    raise _Stopped from error
                if took > self._stall_s:
                    raise AssertionError(f"no connection within {took:.0f} s: {error!r}") from error
                time.sleep(0.05)

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def _count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1


def _value_of(content: bytes, slot: Slot) -> int:
    """Which write made this. Raises `Violation` for a content that no single one makes."""
    value: int = struct.unpack("<Q", content[:8])[0]
    if content != struct.pack("<Q", value) * (slot.length // 8):
        raise Violation(
            f"range {slot.offset}+{slot.length} is torn: {content[:16].hex()} … {content[-16:].hex()}"
        )
    return value
