"""Numbers for parts: equal parts get the same one, so that a state is a short tuple of ints."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Table(Generic[T]):
    """Parts by number, in the order in which they were first met."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, part: T) -> int:
        """The part's number, a new one when it was never met."""
        found = self._numbers.get(part)
        if found is None:
            found = self._numbers[part] = len(self.values)
            self.values.append(part)
        return found


class Names:
    """Replica ids as bits."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def bit(self, replica: str) -> int:
        """The bit of this id."""
        try:
            return self.ids.index(replica)
        except ValueError:
            self.ids.append(replica)
            return len(self.ids) - 1
