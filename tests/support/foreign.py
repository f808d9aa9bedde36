"""Foreign clients that run for a while beside what a test does: fio, and QEMU's storage daemon in front of a volume."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.nbd import socket_of
from tests.support.programs import program


class FioFigures(NamedTuple):
    """How far a job is, in requests of 4 KiB that were answered."""

    written: int
    verified: int


class Fio:
    """A job that writes 4 KiB blocks in random order at depth 16, each once, flushes now and then, and verifies all of it.

    A context manager; the job is killed if it still runs at its end.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        *,
        writes: int,
        writes_per_s: int,
        seed: int = 1,
        only_verify: bool = False,
    ) -> None:
        """`folder` is for its own files. `writes_per_s` bounds the rate, so that it is in the middle when something happens.

        `only_verify`: read what an earlier job of the same seed wrote, and write nothing.
        """
        self._only_verify = only_verify
        self._output = folder / f"fio-{seed}.json"
        self._end: FioFigures | None = None
        job = ["--name=job", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bs=4k", "--iodepth=16"]
        job += [f"--size={writes * 4}k", f"--randseed={seed}", "--fsync=256", "--thread"]
        job += ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1"]
        job += [f"--rate_iops=1000000,{writes_per_s}", "--output-format=json", "--status-interval=500ms"]
        if only_verify:
            job.append("--verify_only")
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [program("fio"), *job, f"--aux-path={folder}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it, in the middle of whatever it waits for."""
        if self._process.poll() is None:
            self._process.kill()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def figures(self) -> FioFigures:
        """How far it was half a second ago, at most."""
        return self._end or self._figures(self._said()[1])

    def goes_on(self, requests: int = 100, timeout_s: float = 60) -> float:
        """Wait until so many more requests were answered, or all are; returns the seconds. Raises `AssertionError`."""
        began, goal = time.monotonic(), sum(self.figures()) + requests
        while sum(self.figures()) < goal and self.runs:
            took = time.monotonic() - began
            assert took < timeout_s, f"fio did not go on within {timeout_s:g} s: {self.figures()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def finish(self, timeout_s: float = 90) -> FioFigures:
        """Wait for its end. Raises `AssertionError` unless it wrote and verified everything without an error."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"fio still runs after {timeout_s:g} s: {self.figures()}") from None
        words, job = self._said()
        assert code == 0, f"fio ended with {code}:\n{words[-4000:]}"
        self._end = self._figures(job)
        assert job is not None
        whole = self._end.verified > 0 and (self._only_verify or self._end.written == self._end.verified)
        assert (whole, job["error"]) == (True, 0), f"{self._end}:\n{words[-4000:]}"
        return self._end

    def _figures(self, job: dict[str, Any] | None) -> FioFigures:
        if job is None:
            return FioFigures(0, 0)
        # A job that only verifies counts the writes that it leaves out, too.
        return FioFigures(0 if self._only_verify else job["write"]["total_ios"], job["read"]["total_ios"])

    def _said(self) -> tuple[str, dict[str, Any] | None]:
        """Its words, and the job in the last whole document that it printed between them."""
        text, decoder = self._output.read_text(errors="replace"), json.JSONDecoder()
        words, at, job = "", 0, None
        while (start := text.find("{", at)) >= 0:
            try:
                document, end = decoder.raw_decode(text, start)
            except json.JSONDecodeError:
                break  # it is writing this one
            job, words, at = document["jobs"][0], words + text[at:start], end
        return words + text[at:], job


@contextmanager
def storage_daemon(endpoint: str, export: str, socket: Path, reconnect_s: int = 60) -> Iterator[str]:
    """QEMU's NBD client, which reconnects and sends again what was unanswered, as under a virtual machine; its own URI."""
    blockdev = (
        f"driver=nbd,node-name=volume,server.type=unix,server.path={socket_of(endpoint)},export={export}"
    )
    command = [program("qemu-storage-daemon"), "--blockdev", f"{blockdev},reconnect-delay={reconnect_s}"]
    command += ["--nbd-server", f"addr.type=unix,addr.path={socket}"]
    command += ["--export", "type=nbd,id=export,node-name=volume,name=volume,writable=on"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as daemon:
        try:
            began = time.monotonic()
            while not socket.exists():
                assert daemon.poll() is None, "QEMU's storage daemon ended"
                assert time.monotonic() - began < 20, "QEMU's storage daemon does not serve"
                time.sleep(0.02)
            yield f"nbd+unix:///volume?socket={socket}"
        finally:
            daemon.terminate()
