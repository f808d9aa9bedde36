"""The clients: fio behind QEMU's storage daemon on one volume, clients judged as registers on others.

QEMU's client sends again what was unanswered when an engine dies, so fio lives through every fault, as a virtual machine
would. The others see each cut themselves.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from tests.support.foreign import Fio
from tests.support.register_clients import SawWrong

WRITES, WRITES_PER_S = 4096, 500
"""Of a round of fio: 16 MiB in eight seconds, then all of it read as fast as it can."""

ROUND_S = 240.0
"""A round that takes longer than this with all its faults has stopped."""


class Load(Protocol):
    """What goes on while faults happen."""

    @property
    def answered(self) -> int:
        """Requests that were answered without an error, ever more."""

    def check(self) -> None:
        """Raises `AssertionError` with what a client saw that it may not see."""


class FioRounds:
    """Job after job: each verifies what the one before wrote, then writes and verifies its own. A context manager."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.rounds = 0
        self.written = self.verified = 0
        self._folder, self._uri = folder, uri
        self._fio: Fio | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fio rounds")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self._stopping.set()
        fio = self._fio
        if kind is not None and fio is not None:
            fio.kill()  # it may wait for ever
        self._thread.join()
        if kind is None:
            self.check()

    @property
    def answered(self) -> int:
        """Blocks written and verified, in this round and those before."""
        with self._lock:
            now = sum(self._fio.figures()) if self._fio is not None else 0
            return self.written + self.verified + now

    def check(self) -> None:
        """Raises `AssertionError` with what fio said."""
        if self._failure is not None:
            kind = SawWrong if re.search(r"verify.*(bad|failed)", str(self._failure)) else AssertionError
            raise kind(f"round {self.rounds + 1} of fio: {self._failure}") from self._failure

    def verify(self) -> int:
        """Read once more what the last round wrote; blocks. Call it when stopped."""
        with self._job(self.rounds, only_verify=True) as fio:
            return fio.finish(ROUND_S).verified

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self.rounds:
                    self._play(self.rounds, only_verify=True)
                self._play(self.rounds + 1, only_verify=False)
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 - told by `check`
            self._failure = error

    def _play(self, number: int, *, only_verify: bool) -> None:
        with self._job(number, only_verify=only_verify) as fio:
            self._fio = fio
            end = fio.finish(ROUND_S)
            with self._lock:
                self._fio = None
                self.written += end.written
                self.verified += end.verified

    def _job(self, number: int, *, only_verify: bool) -> Fio:
        return Fio(
            self._folder,
            self._uri,
            writes=WRITES,
            writes_per_s=WRITES_PER_S,
            seed=number,
            only_verify=only_verify,
        )


class Progress:
    """Whether each load has had some more requests answered since this was made."""

    def __init__(self, loads: Sequence[Load], requests: int) -> None:
        self._began = time.monotonic()
        self._goals = [(load, load.answered + requests) for load in loads]

    def made(self) -> bool:
        """Raises `AssertionError` with what a client saw that it may not see."""
        for load, _ in self._goals:
            load.check()
        return not self._behind()

    def wait(self, bound_s: float, meanwhile: Callable[[], None] = lambda: None) -> float:
        """Wait until it is made; the seconds since this was made. Raises `AssertionError` after the bound.

        `meanwhile` is done now and then, once it takes long.
        """
        again_s = 5.0
        while not self.made():
            took = time.monotonic() - self._began
            assert took < bound_s, f"no progress within {bound_s:g} s: {', '.join(self._behind())}"
            if took > again_s:
                meanwhile()
                again_s += 5.0
            time.sleep(0.05)
        return time.monotonic() - self._began

    def _behind(self) -> list[str]:
        return [type(load).__name__ for load, goal in self._goals if load.answered < goal]
