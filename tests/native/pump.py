"""What happens next: ordered streams of steps, and a clock that moves only between them.

Each stream keeps its order (a connection's direction, a disk's queue); between streams the seed decides, or, without
one, age. Knows nothing of what the steps do.
"""

import random
from collections import deque
from collections.abc import Callable

Step = Callable[[], None]

MS = 1_000_000
STEPS_MAX = 200_000
"""Far above any run that ends: more means that something flaps."""


class Pump:
    """Runs steps and timers, one at a time, in an order that follows from the seed alone."""

    def __init__(self, seed: int | None) -> None:
        self.now_ns = 1
        self._chance = None if seed is None else random.Random(seed)
        self._streams: dict[str, deque[tuple[int, Step]]] = {}
        self._wakes: dict[str, tuple[int, Step]] = {}
        self._held: set[str] = set()
        self._posted = 0

    def post(self, stream: str, step: Step) -> None:
        """Add a step to the end of a stream."""
        self._posted += 1
        self._streams.setdefault(stream, deque()).append((self._posted, step))

    def wake(self, who: str, at_ns: int, step: Step) -> None:
        """Run a step at that time, instead of the one that this one waited for."""
        self._wakes[who] = (at_ns, step)

    def forget_wake(self, who: str) -> None:
        """Nobody is there to be woken any more."""
        self._wakes.pop(who, None)

    def hold(self, stream: str) -> None:
        """Nothing of this stream happens until `release`."""
        self._held.add(stream)

    def release(self, stream: str) -> None:
        """It goes on."""
        self._held.discard(stream)

    def below(self, bound: int) -> int:
        """Chance, from the seed; 0 without one."""
        return self._chance.randrange(bound) if self._chance else 0

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Go on until that holds, or until nothing more can happen."""
        for _ in range(STEPS_MAX):
            if until() or not self.step():
                return
        raise AssertionError(f"nothing comes to rest in {STEPS_MAX} steps")

    def step(self) -> bool:
        """One step, or the next timer. False: there is neither."""
        self.now_ns += self.below(2 * MS) if self._chance else MS // 100
        self._make_due()
        ready = [name for name, steps in self._streams.items() if steps and name not in self._held]
        if not ready:
            if not self._wakes:
                return False
            self.now_ns = max(self.now_ns, min(at_ns for at_ns, _ in self._wakes.values()))
            self._make_due()
            return True
        if self._chance:
            chosen = ready[self.below(len(ready))]
        else:
            chosen = min(ready, key=lambda name: self._streams[name][0][0])
        _, step = self._streams[chosen].popleft()
        if not self._streams[chosen]:
            del self._streams[chosen]
        step()
        return True

    def _make_due(self) -> None:
        for who in [who for who, (at_ns, _) in self._wakes.items() if at_ns <= self.now_ns]:
            _, step = self._wakes.pop(who)
            self.post(f"timer of {who}", step)
