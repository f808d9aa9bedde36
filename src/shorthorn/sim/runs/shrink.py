"""Makes a failing schedule small: leaves out hours, halves, then single steps, as long as the run fails in the same way.

"The same way" is the same rule of the failure: another failure is another bug, and its turn comes later.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from shorthorn.sim.faults.schedule import Schedule, Step
from shorthorn.sim.runs.run import Failure, Run

LIMIT_S: Final = 300.0
"""So long, in CPU seconds, a search for a smaller schedule may take."""

NEEDED: Final = frozenset({"create"})
"""Steps that are left out last: without volumes nothing fails."""


def shrink(
    schedule: Schedule,
    failure: Failure,
    *,
    limit_s: float = LIMIT_S,
    told: Callable[[str], None] = lambda _line: None,
) -> tuple[Schedule, Failure, int]:
    """The smallest failing schedule found, its failure, and how many runs that took."""
    return _Shrinker(schedule, failure, limit_s, told).search()


class _Shrinker:
    def __init__(
        self, schedule: Schedule, failure: Failure, limit_s: float, told: Callable[[str], None]
    ) -> None:
        self._best, self._failure = schedule, failure
        self._end_s = time.process_time() + limit_s
        self._told = told
        self._runs = 0

    def search(self) -> tuple[Schedule, Failure, int]:
        self._cut_end()
        self._begin_later()
        size = max(1, len(self._best.steps) // 2)
        while not self._late:
            if not self._without_chunks(size):
                if size == 1:
                    break
                size = max(1, size // 2)
        return self._best, self._failure, self._runs

    @property
    def _late(self) -> bool:
        return time.process_time() > self._end_s

    def _cut_end(self) -> None:
        """Nothing after the failure matters."""
        at_s = self._failure.at_s
        steps = tuple(step for step in self._best.steps if step.at_s <= at_s)
        calm = tuple(moment for moment in self._best.calm_s if moment - self._best.period_s <= at_s)
        self._try(steps, calm)

    def _begin_later(self) -> None:
        """Hours before the last one may not matter: leave them out, and count from a later hour."""
        calm, period_s = self._best.calm_s, self._best.period_s
        while len(calm) > 1 and not self._late:
            steps = tuple(
                _earlier(step, period_s)
                for step in self._best.steps
                if step.at_s >= period_s or step.do in NEEDED
            )
            if not self._try(tuple(sorted(steps, key=lambda s: s.at_s)), calm[:-1]):
                return
            calm = self._best.calm_s

    def _without_chunks(self, size: int) -> bool:
        """Leave out so many steps after each other, from the end; whether that ever helped."""
        helped, end = False, len(self._best.steps)
        while end > 0 and not self._late:
            begin = max(0, end - size)
            steps = self._best.steps
            if self._try(steps[:begin] + steps[end:], self._best.calm_s):
                helped = True
            end = begin
        return helped

    def _try(self, steps: Sequence[Step], calm_s: tuple[float, ...]) -> bool:
        if len(steps) == len(self._best.steps) and calm_s == self._best.calm_s:
            return False
        smaller = msgspec.structs.replace(self._best, steps=tuple(steps), calm_s=calm_s)
        self._runs += 1
        failure = Run(smaller).execute().failure
        if failure is None or failure.rule != self._failure.rule:
            return False
        self._best, self._failure = smaller, failure
        self._told(f"{len(steps)} steps fail with {failure.rule} at {failure.at_s:.0f} s")
        return True


def _earlier(step: Step, period_s: float) -> Step:
    at_s = step.at_s if step.do in NEEDED and step.at_s < period_s else step.at_s - period_s
    return msgspec.structs.replace(step, at_s=round(at_s, 3))
