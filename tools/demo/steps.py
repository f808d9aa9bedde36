"""How the demo's steps are told and checked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.cluster import Cluster


class Steps:
    """Prints the steps, numbered, with the time that each took."""

    def __init__(self) -> None:
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """One step; what is appended to the list is its result."""
        self._number += 1
        began = time.monotonic()
        result: list[str] = []
        print(f"{self._number:>2}. {title} … ", end="", flush=True)
        try:
            yield result
        except BaseException:
            print("FAILED", flush=True)
            raise
        print(f"{'; '.join(result)} ({time.monotonic() - began:.1f} s)", flush=True)


def check(holds: bool, what: str) -> None:
    """A step's claim. Raises `AssertionError` when it does not hold."""
    if not holds:
        raise AssertionError(f"the demo expected: {what}")


def timed(action: Callable[[], object]) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    action()
    return max(time.monotonic() - began, 0.001)


def state(cluster: Cluster, name: str) -> str:
    """State and health of a volume, such as `attached healthy`."""
    volume = cluster.volume(name)
    return f"{volume['state']} {volume['health']}"
