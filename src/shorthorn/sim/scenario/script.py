"""A scenario file: blocks of commands, each with its expected answer after a line of dashes.

    # what happened, and what must hold here
    cluster nodes=3
    volume v1 size=10GiB replicas=3; rest
    ----
    v1: detached healthy; replicas n1 n2 n3

    attach v1 n1
    …

An answer ends with the file or an empty line. Empty lines among commands are kept. Knows nothing of what commands mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LINE = "----"


@dataclass(frozen=True, slots=True)
class Command:
    """One command and the number of its line, from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of commands as they stand in the file, from line `first` on, and the answer that is expected."""

    first: int
    lines: tuple[str, ...]
    expected: str

    def commands(self) -> Iterator[Command]:
        """Without comments; several on a line are parted by `;`."""
        for number, line in enumerate(self.lines, start=self.first):
            for text in line.split("#")[0].split(";"):
                if text.strip():
                    yield Command(number, " ".join(text.split()))


class BadScenario(Exception):
    """The file is not a scenario, or a command in it is not understood; says where."""


def parse(text: str) -> list[Block]:
    """The blocks of a file. Raises `BadScenario` when commands have no answer, or there are none."""
    blocks: list[Block] = []
    lines, asked, first = text.splitlines(), list[str](), 1
    at = 0
    while at < len(lines):
        if lines[at] != LINE:
            asked.append(lines[at])
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end]:
            end += 1
        blocks.append(Block(first, tuple(asked), "\n".join(lines[at + 1 : end])))
        asked, first, at = [], end + 1, end
    if not blocks and not any(line.split("#")[0].strip() for line in lines):
        raise BadScenario("there is no command in it")
    if not blocks or any(line.strip() for line in asked):
        raise BadScenario(f"line {first}: commands without an answer; end them with {LINE}")
    return blocks


def render(blocks: list[Block], answers: list[str]) -> str:
    """The file with these answers in place of those expected."""
    parts = [
        "\n".join((*block.lines, LINE, answer)) + "\n" for block, answer in zip(blocks, answers, strict=True)
    ]
    return "".join(parts)


def story(text: str) -> list[str]:
    """The comment lines with which a file opens, without their marks."""
    told = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        told.append(line.removeprefix("#").strip())
    return told
