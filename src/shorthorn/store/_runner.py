"""Brings commits to a database and outcomes back: in the loop, or on a thread of its own.

A runner takes what is queued as one group (group commit: one fsync for all), hands it to
the database, and settles the group in one go in the loop's thread: first the feed is told
what has become true, then the callers wake. It never looks into a commit.

Neither runner polls or keeps a timer: at rest the thread sleeps in a lock.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from shorthorn.errors import Unavailable
from shorthorn.store._database import Applied, Commit, Database

GROUP_COMMITS_MAX: Final = 256
"""Commits in one transaction. More gain nothing (docs/formats/store.md), and would make the
first of them wait longer."""

GROUP_BYTES_MAX: Final = 4 << 20
"""The same bound in bytes; a group ends with the commit that passes it."""

QUEUED_MAX: Final = 4096
"""Jobs that may wait. At 10,000 commits a second this is half a second of work; who comes
later is told to come back, instead of filling the memory."""


class Answer(Struct, frozen=True):
    """What came out of one job: a value, or the error to raise."""

    value: Any = None
    error: BaseException | None = None


class Job(Struct, frozen=True, eq=False):
    """A commit, or a call of the database; and who waits for it."""

    work: "Commit | Callable[[], Any]"
    answer: "asyncio.Future[Any]"


Told: TypeAlias = Callable[[Applied], None]


class Runner(Protocol):
    """Runs jobs one after another, in the order in which they were given."""

    def submit(self, work: "Commit | Callable[[], Any]") -> "asyncio.Future[Any]":
        """Queue it. Raises `Unavailable` when too many wait or the runner is closed."""
        ...

    async def close(self) -> None:
        """Finish what is queued. May be called twice, also at the same time."""
        ...


class InlineRunner:
    """Runs jobs in the loop's own thread, soon. For memory, and for virtual time.

    Not at once: a commit of a real store is in flight for a while, and code that can't
    live with that should fail here as well.
    """

    def __init__(self, database: Database, told: Told) -> None:
        self._database = database
        self._told = told
        self._jobs: deque[Job] = deque()
        self._closed = False

    def submit(self, work: Commit | Callable[[], Any]) -> "asyncio.Future[Any]":
        """Queue it for the next turn of the loop."""
        _check_open(self._closed, len(self._jobs))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._jobs:
            loop.call_soon(self._run)
        self._jobs.append(Job(work, answer))
        return answer

    async def close(self) -> None:
        """Finish what is queued."""
        self._closed = True
        self._run()

    def _run(self) -> None:
        while self._jobs:
            group = [self._jobs.popleft()]
            while self._jobs and not _is_full(group):
                group.append(self._jobs.popleft())
            _settle(group, *_perform(self._database, group), self._told)


class ThreadRunner:
    """Runs jobs on one thread, so that an fsync never stops the loop.

    Made inside a running loop, which it belongs to. The thread is a daemon: a process that
    ends without `close` is like a crash, and a crash loses nothing acknowledged.
    """

    def __init__(self, database: Database, told: Told) -> None:
        self._database = database
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._queued = 0
        self._closed = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def submit(self, work: Commit | Callable[[], Any]) -> "asyncio.Future[Any]":
        """Queue it for the thread."""
        _check_open(self._closed, self._queued)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._queued += 1
        self._jobs.put(Job(work, answer))
        return answer

    async def close(self) -> None:
        """Finish what is queued, and the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await self._ended.wait()
        self._thread.join()  # it has nothing left to do but return

    def _run(self) -> None:
        """The thread: the only place where it waits is `get`."""
        going = True
        while going:
            first = self._jobs.get()
            group, going = ([], False) if first is None else self._group_from(first)
            answers, applied = _perform(self._database, group)
            try:
                self._loop.call_soon_threadsafe(self._settled, group, answers, applied, going)
            except RuntimeError:  # the loop was closed without us: nobody is left to answer
                return

    def _group_from(self, first: Job) -> tuple[list[Job], bool]:
        group = [first]
        while not _is_full(group):
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return group, False
            group.append(job)
        return group, True

    def _settled(self, group: list[Job], answers: list[Answer], applied: Applied | None, going: bool) -> None:
        self._queued -= len(group)
        _settle(group, answers, applied, self._told)
        if not going:
            self._ended.set()


def _check_open(closed: bool, queued: int) -> None:
    if closed:
        raise Unavailable("the store is closed")
    if queued >= QUEUED_MAX:
        raise Unavailable(f"the store is busy: {queued} commits are waiting")


def _is_full(group: Sequence[Job]) -> bool:
    size = sum(job.work.size for job in group if isinstance(job.work, Commit))
    return len(group) >= GROUP_COMMITS_MAX or size >= GROUP_BYTES_MAX


def _perform(database: Database, group: Sequence[Job]) -> tuple[list[Answer], Applied | None]:
    """Run the group: its commits together, then its calls. An answer for each, in order."""
    commits = [job.work for job in group if isinstance(job.work, Commit)]
    applied, outcomes = None, iter([Answer()] * len(commits))
    if commits:
        try:
            applied = database.apply(commits)
            outcomes = iter([Answer(value=outcome) for outcome in applied.outcomes])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            outcomes = iter([Answer(error=error)] * len(commits))
    return [next(outcomes) if isinstance(job.work, Commit) else _call(job.work) for job in group], applied


def _call(work: Callable[[], Any]) -> Answer:
    try:
        return Answer(value=work())
    except BaseException as error:  # noqa: BLE001 - as above
        return Answer(error=error)


def _settle(group: Sequence[Job], answers: Sequence[Answer], applied: Applied | None, told: Told) -> None:
    """In the loop's thread: first what is true, then who waited for it."""
    if applied is not None:
        told(applied)
    for job, answer in zip(group, answers, strict=True):
        if job.answer.done():  # the caller was cancelled; to it, the outcome is unknown
            continue
        if answer.error is not None:
            job.answer.set_exception(answer.error)
        else:
            job.answer.set_result(answer.value)
