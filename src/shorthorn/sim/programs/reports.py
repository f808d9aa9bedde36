"""What the agent is to be told: answers to its orders, the tasks, and that some replica changed what it is.

Answers go out at once. Of tasks and replicas only the newest state counts, and not too often.
Source: crates/shorthorn-replica/src/reports.rs.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from shorthorn.links import program_lines as lines

LIST_GAP_S: Final = 0.5
"""Between two unasked lists of replicas."""

TASK_GAP_S: Final = 0.25
"""Between two reports of tasks under way."""

SLACK_S: Final = 1e-6

OVER_MAX: Final = 64
"""Tasks that are over and remembered."""

TaskState: TypeAlias = lines.TaskRunning | lines.TaskReady | lines.TaskFinished | lines.TaskFailed


class Progress(NamedTuple):
    """How far a task is, in bytes looked at, and what comes next."""

    done: int
    total: int
    state: TaskState


class Reports:
    """`say` sends a line on the link that stands; `held` lists the replicas; `looked` hears of every change."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.say: Callable[[lines.FromProgram], object] = lambda _: None
        self.held: Callable[[], tuple[lines.Held, ...]] = tuple
        self.looked: Callable[[], object] = lambda: None
        self.link = 0
        """The number of the newest link: the one that brings orders now."""
        self._up = False
        self._replicas_changed = False
        self._tasks: dict[str, Progress] = {}
        self._news: set[str] = set()
        self._over: list[str] = []
        self._told_list = self._told_tasks = -1e9
        self._armed = False

    def replicas_changed(self) -> None:
        """Some replica changed what it is."""
        self._replicas_changed = True
        self._arm()
        self.looked()

    def task(self, task: str, progress: Progress) -> None:
        """A task got on. The same again is no news."""
        if self._tasks.get(task) == progress:
            return
        if isinstance(progress.state, lines.TaskFinished | lines.TaskFailed):
            if task in self._over:
                self._over.remove(task)
            self._over.append(task)
            if len(self._over) > OVER_MAX:
                oldest = self._over.pop(0)
                self._tasks.pop(oldest, None)
                self._news.discard(oldest)
        self._tasks[task] = progress
        self._news.add(task)
        self._arm()

    def known(self, task: str) -> Progress | None:
        """What was told of a task last."""
        return self._tasks.get(task)

    def repeat(self, task: str) -> None:
        """Tell it again, unchanged."""
        if task in self._tasks:
            self._news.add(task)
            self._arm()

    def answer(
        self, link: int, number: int, error: str | None = None, replicas: tuple[lines.Held, ...] = ()
    ) -> bool:
        """An answer to an order of a link: on another one nobody knows its id. False: dropped."""
        waited_for = self._up and self.link == link
        if waited_for:
            self.say(lines.Result(id=number, error=error, replicas=replicas))
        return waited_for

    def link_up(self) -> None:
        """A link stands. The agent asks for a list after the hello, and hears of all tasks again."""
        self.link += 1
        self._up = True
        self._replicas_changed = False
        self._news = set(self._tasks)
        self._arm()

    def link_down(self) -> None:
        """The link has ended."""
        self._up = False

    def _arm(self) -> None:
        if self._up and not self._armed:
            self._armed = True
            self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._armed = False
        if not self._up:
            return
        # A float of seconds may be a hair below the time that a timer was set for.
        now, later = self._loop.time() + SLACK_S, []
        for task in sorted(self._news):
            if not isinstance(self._tasks[task].state, lines.TaskRunning):
                self._tell(task)
        if self._news and now >= self._told_tasks + TASK_GAP_S:
            for task in sorted(self._news):
                self._tell(task)
            self._told_tasks = now
        if self._replicas_changed and now >= self._told_list + LIST_GAP_S:
            self._replicas_changed = False
            self._told_list = now
            self.say(lines.Result(id=lines.UNASKED, replicas=self.held()))
        if self._news:
            later.append(self._told_tasks + TASK_GAP_S)
        if self._replicas_changed:
            later.append(self._told_list + LIST_GAP_S)
        if later:
            self._armed = True
            self._loop.call_at(min(later), self._due)

    def _tell(self, task: str) -> None:
        self._news.discard(task)
        done, total, state = self._tasks[task]
        self.say(lines.TaskReport(task=task, done=done, total=total, state=state))
