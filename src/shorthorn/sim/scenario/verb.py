"""One command of the language: how it is written, what it means, what it does; and whether words fit how it is written.

In a usage `[…]` may be left out, `|` parts what are alternatives, `…` stands for more words, `NAME=VALUE` in capitals for any option.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from shorthorn.sim.scenario.scenario import Scenario

Names = list[str]
Options = dict[str, str]
Do = Callable[[Scenario, Names, Options], str | None]

_OPTION = re.compile(r"([A-Za-z]+)=")


@dataclass(frozen=True, slots=True)
class Verb:
    """One command. `do` returns the words of a refusal, if there is one."""

    usage: str
    meaning: str
    do: Do

    @property
    def name(self) -> str:
        return self.usage.split()[0]

    def check(self, names: Names, options: Options) -> None:
        """Whether the words after the verb fit the usage. Raises ValueError, in a few words."""
        known = _OPTION.findall(self.usage)
        strange = next((key for key in options if key not in known), None)
        if strange is not None and not any(key.isupper() for key in known):
            raise ValueError(f"there is no option {strange}=")
        needed = _OPTION.findall(re.sub(r"\[.*?\]", "", self.usage))
        lacking = next((key for key in needed if key not in options), None)
        if lacking is not None:
            raise ValueError(f"{lacking}= is missing")
        fewest, most = self._words()
        if len(names) < fewest:
            raise ValueError("too few words")
        if len(names) > most and "…" not in self.usage:
            raise ValueError("too many words")

    def _words(self) -> tuple[int, int]:
        """How many words without `=` there may be."""
        ways = self.usage.removeprefix(self.name).split("|")
        return min(_count(re.sub(r"\[.*?\]", "", way)) for way in ways), max(map(_count, ways))


def _count(way: str) -> int:
    return sum("=" not in word and word != "…" for word in way.split())


@dataclass(frozen=True, slots=True)
class Chapter:
    """Commands that belong together."""

    title: str
    verbs: tuple[Verb, ...]
