"""docs/scenarios.md, made from the table of commands."""

from shorthorn.sim.scenario.language import CHAPTERS

_OPENING = """# Scenarios

A scenario is a story about a cluster that an operator can read: commands, a line of dashes, the answer that must come. It runs on the
simulator: the control plane and the agents that ship, and the cores of engine and replica, on virtual time; the same text gives
the same answer each time.

```
# Evicting a node attached a detached volume, for a copy that had no place.
cluster nodes=3
volume v1 size=8MiB replicas=3; rest
mark
evict n2
rest
----
v1: detached healthy; replicas n1 n2 n3
evict n2: blocked - v1: no node left that holds no replica of it (n1, n3 do)
sessions started: 0
```

`shorthorn scenario FILE…` runs files and shows where an answer differs from what the file expects; `--rewrite` writes the answers that
came into the files instead: read the diff. `tests/scenarios/` holds the project's own, among them the known bugs of such systems, with
`INDEX.md`.

One command a line; several on a line are parted by `;`. `#` begins a comment. An answer ends with an empty line; after it the story
may go on. An answer holds, in this order: requests that were refused, and what clients were told, as they came; each volume; each
eviction that is wanted; what was asked for besides. `NAME=VALUE` are options, in any order.
In reasons `r@n2` stands for the replica on n2, and "for a while" for a time in seconds.

Every invariant is checked at each step, and every answer of a client against all that came before. If a file ends with `rest`,
nothing more may happen for two minutes after it.
"""


def text() -> str:
    """The whole page."""
    parts = [_OPENING]
    for chapter in CHAPTERS:
        rows = "".join(f"| `{_cell(verb.usage)}` | {_cell(verb.meaning)} |\n" for verb in chapter.verbs)
        parts.append(f"## {chapter.title}\n\n| command | meaning |\n| --- | --- |\n{rows}")
    return "\n".join(parts)


def _cell(text_: str) -> str:
    return text_.replace("|", "\\|")
