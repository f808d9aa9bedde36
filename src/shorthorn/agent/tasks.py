"""Tasks without a session, as the replica program of one disk last reported them. Never begins or ends one."""

from typing import Final

from shorthorn.agent.running import TaskRuns
from shorthorn.core.model.ids import TaskId
from shorthorn.links.program_lines import TaskReport
from shorthorn.ports.clock import Clock

REPORTS_MAX: Final = 4096
"""Tasks of one disk at a time; each volume has one, so this is more than are ever under way."""


class Tasks:
    """The newest report of each task, and since when it is in that state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[TaskId, TaskReport] = {}
        self._since_s: dict[TaskId, float] = {}

    def take(self, report: TaskReport) -> bool:
        """Keep a report; whether the task came into another state. Raises `ValueError` when there are too many."""
        task = TaskId(report.task)
        before = self._reports.get(task)
        if before is None and len(self._reports) >= REPORTS_MAX:
            raise ValueError("it reports more tasks than there can be")
        self._reports[task] = report
        moved = before is None or before.state != report.state
        if moved:
            self._since_s[task] = self._clock.monotonic_s()
        return moved

    def forget(self, task: TaskId) -> None:
        """It is no longer wanted."""
        self._reports.pop(task, None)
        self._since_s.pop(task, None)

    def clear(self) -> None:
        """The program has ended, and every task with it."""
        self._reports.clear()
        self._since_s.clear()

    def views(self) -> tuple[TaskRuns, ...]:
        """All, by id."""
        now_s = self._clock.monotonic_s()
        return tuple(
            TaskRuns(task=task, report=self._reports[task], for_s=round(now_s - self._since_s[task], 1))
            for task in sorted(self._reports)
        )
