"""What a check returns: where, and what to do instead. Read next: `__main__`, which runs all of them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place that breaks a rule. `line` is 0 when the whole file is meant."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"
