"""What a run did, by virtual hour. An hour in which too little happened proves nothing and is not counted; it says why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

REQUESTS_MIN: Final = 60
FAULTS_MIN: Final = 6
KINDS_MIN: Final = 3
IOS_MIN: Final = 3600


@dataclass
class Hour:
    """One virtual hour. `ios` are requests of block clients that were answered, `requests` those of consumers."""

    requests: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ios: Counter[str] = field(default_factory=Counter)
    sessions: Counter[str] = field(default_factory=Counter)
    journal: int = 0

    @property
    def answered(self) -> int:
        """Block I/O that was answered without an error."""
        return sum(count for kind, count in self.ios.items() if kind in ("read", "write", "trim", "flush"))

    def lacks(self) -> list[str]:
        """Why this hour does not count; empty when it does."""
        lacking = []
        asked, faults = self.requests["attach"] + self.requests["detach"], self.faults.total()
        if asked < REQUESTS_MIN:
            lacking.append(f"{asked} consumers' requests of {REQUESTS_MIN}")
        if faults < FAULTS_MIN or len(self.faults) < KINDS_MIN:
            lacking.append(
                f"{faults} faults of {len(self.faults)} kinds; {FAULTS_MIN} of {KINDS_MIN} are needed"
            )
        if self.answered < IOS_MIN:
            lacking.append(f"{self.answered} block I/Os of {IOS_MIN}")
        return lacking


class Counts:
    """All hours of a run."""

    def __init__(self) -> None:
        self.hours: list[Hour] = []

    def at(self, now_s: float) -> Hour:
        """The hour of a moment."""
        index = int(now_s // 3600)
        while len(self.hours) <= index:
            self.hours.append(Hour())
        return self.hours[index]

    @property
    def counted(self) -> int:
        """Hours that count."""
        return sum(1 for hour in self.hours if not hour.lacks())

    def total(self) -> Hour:
        """All hours as one."""
        whole = Hour()
        for hour in self.hours:
            for name in ("requests", "people", "faults", "ios", "sessions"):
                getattr(whole, name).update(getattr(hour, name))
            whole.journal += hour.journal
        return whole

    def lines(self) -> Iterator[str]:
        """For people."""
        for number, hour in enumerate(self.hours, start=1):
            asked = hour.requests["attach"] + hour.requests["detach"]
            yield (
                f"hour {number}: {asked} consumers' requests, {hour.faults.total()} faults of {len(hour.faults)} kinds, "
                f"{hour.answered} block I/Os, {hour.sessions['opened']} sessions, {hour.journal} journal entries"
            )
            yield from (f"  not counted: {why}" for why in hour.lacks())


def spoken(counter: Counter[str]) -> str:
    """`3 cut, 2 power`, the most frequent first."""
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ranked) or "none"
