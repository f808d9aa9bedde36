"""Renders docs/proofs.md from what the proofs said. Pure: the same results make the same page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tools.prove.results import Found, Result

HEAD = """# What is proved, and what is not

Shorthorn's claim is that a volume's state is never wrong ([design.md](design.md), section 4, names what that means: S1 to S11,
L1 to L8). This page says by what the claim is earned, in which bounds, and where it stops. `make prove` writes it, from
[proofs.json](proofs.json), which holds what each proof said when it was last run, and [findings.toml](findings.toml).

| proof | what runs | what is judged |
| --- | --- | --- |
| explorer | the real law, planning and orders, with abstract agents, engines and replicas that follow protocol.md; every order of every step | S1-S10 in every state, by what clients saw; from every state the goal is reached by every fair run |
| simulator | the real control, agents, stores and Rust cores on virtual time, with simulated disks, networks, processes and clocks | S1-S10 all along, each block's history, L1-L8 once faults stop |
| scenarios | the same, along a told story; one for each known bug of other systems that has a counterpart here | the answers that the file holds |
| chaos | real processes in network namespaces, real disks and sockets | each block's history; progress after every heal; equal copies; records against what runs |
| mutants | all of these, with one rule taken out | that something notices |
"""

NOT_COVERED = """## What is not covered

- **The kernel and the disks.** Chaos kills processes and cuts power in name only: page caches survive. That data is on the
  disk after a sync is believed of the kernel, file system and disk; what happens without it is the simulator's part, whose disk is ours.
- **Rust around the cores.** Sockets, threads and files of the two programs (`crates/shorthorn-engine`, `-replica`) run in chaos and in
  integration tests only; the simulator runs their cores under Python programs that behave the same.
- **Sizes.** Explorer worlds have one volume, a block or two, at most four nodes; simulator and chaos a few small volumes. Nothing here
  shows what a hundred nodes or a terabyte would.
- **Time.** A node's clock may drift by 1 % and no more, and does not stand still while the node's programs run (protocol.md, Read);
  a hypervisor that breaks this may cause a stale read unless `reads: strict` is set. Chaos does not change real clocks.
- **Slow networks in chaos** are slow by rate and loss; delay and reordering need a kernel with netem, and are the simulator's.
- **A power loss of several nodes at once** is the simulator's and the explorer's: in chaos it would lose nothing, since page caches survive.
- **Hostile peers.** Sockets are tested with garbage, but who speaks the protocol is believed; there is no authentication yet (SECURITY.md).
- **What does not exist yet**: snapshots, clones, drain (S11), CSI, recovery of a lost store, other stores than memory and SQLite.
- **Liveness is bounded.** The explorer shows it for its worlds; the simulator and chaos for the runs they did.
"""


def render(results: Mapping[str, Result], found: Sequence[Found]) -> str:
    """The whole page."""
    parts = [
        HEAD,
        "\n".join(_summary(results)),
        "\n".join(_explorer(results)),
        "\n".join(_simulator(results.get("sim"))),
        "\n".join(_scenarios(results.get("scenarios"))),
        "\n".join(_mutants(results.get("mutants"))),
        "\n".join(_chaos(results)),
        "\n".join(_findings(found)),
        NOT_COVERED,
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _summary(results: Mapping[str, Result]) -> Iterator[str]:
    yield from ("## At a glance", "", "| step | holds | seconds | command |", "| --- | --- | --- | --- |")
    for name in ("explorer", "explorer-deep", "sim", "scenarios", "mutants", "chaos", "chaos-mutant"):
        result = results.get(name)
        if result is None:
            yield f"| {name} | not run | | |"
        else:
            holds = "yes" if result.ok else "**no**"
            yield f"| {name} | {holds} | {result.seconds:.0f} | `{result.command}` |"


def _explorer(results: Mapping[str, Result]) -> Iterator[str]:
    yield from ("## Explorer", "")
    worlds = [
        w
        for name in ("explorer", "explorer-deep")
        if name in results
        for w in results[name].figures.get("worlds", [])
    ]
    if not worlds:
        yield "Not run."
        return
    yield from (
        "| world | what it allows | states | transitions | depth | seconds | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    )
    for world in worlds:
        end = f"**{world['broken']}**" if world["broken"] else _searched(world["waiting"])
        yield _row(
            world["world"], world.get("about", ""), *map(_number, (world["states"], world["transitions"], world["depth"])),
            f"{world['seconds']:.0f}", end,
        )  # fmt: skip
    totals = [_number(sum(world[key] for world in worlds)) for key in ("states", "transitions")]
    yield from ("", f"Altogether {totals[0]} states and {totals[1]} transitions.")


def _searched(waiting: int) -> str:
    return f"stopped at its limit, {_number(waiting)} waiting" if waiting else "complete"


def _simulator(result: Result | None) -> Iterator[str]:
    yield from ("## Simulator", "")
    if result is None:
        yield "Not run."
        return
    yield (
        f"{_number(result.figures.get('hours_counted', 0))} virtual cluster hours count: an hour does with at least 60 consumers' "
        "requests, 6 faults of 3 kinds and 3,600 answered block I/Os. All checkers run all along; every hour ends in calm, with "
        "L1 to L8 within their bounds, and a look at every copy."
    )
    yield from ("", "| store | seeds | hours that count | faults | block I/Os | CPU seconds | failed seeds |")
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for store in ("memory", "sqlite"):
        if (said := result.figures.get(store)) is not None:
            counts = [_number(said[key]) for key in ("seeds", "hours_counted", "faults", "ios", "cpu_s")]
            failed = ", ".join(map(str, said["failed"]))
            yield _row(store, *counts, f"**{failed}**" if failed else "none")


def _scenarios(result: Result | None) -> Iterator[str]:
    yield from ("## Scenarios", "")
    if result is None:
        yield "Not run."
        return
    fates, tests = result.figures["fates"], result.figures["tests"]
    yield (
        f"{sum(fates.values())} known bugs of other systems ([index](../tests/scenarios/INDEX.md)): {fates.get('runs', 0)} run as a "
        f"scenario, {fates.get('waits', 0)} wait for a feature, {fates.get('none', 0)} have no counterpart. "
        f"Of all tests of scenarios {_counted(tests)}."
    )


def _mutants(result: Result | None) -> Iterator[str]:
    yield from ("## Mutants", "")
    rows = [] if result is None else result.figures.get("mutants", [])
    if not rows:
        yield "Not run."
        return
    needless = [row for row in rows if row.get("ok") and row.get("by", "").startswith("nothing")]
    caught = sum(bool(row.get("ok")) for row in rows) - len(needless)
    yield from (
        f"{caught} of {len(rows) - len(needless)} are caught; {len(needless)} need not be, and the table says why.",
        "",
    )
    yield from ("| mutant | rule | source | caught by | how fast |", "| --- | --- | --- | --- | --- |")
    for row in rows:
        by = row.get("by", "") if row.get("ok") else "**survives**"
        yield _row(
            row["name"],
            row.get("rule", ""),
            row.get("source", ""),
            by,
            row.get("fast") or f"{row.get('seconds', 0):.1f} s",
        )


def _chaos(results: Mapping[str, Result]) -> Iterator[str]:
    yield from ("## Chaos", "")
    runs = results["chaos"].figures["runs"] if "chaos" in results else []
    if not runs:
        yield "Not run."
    else:
        yield from (
            "| seed | faults | sessions | acknowledged writes | healed | longest wait | seconds | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        )
        kinds: dict[str, int] = {}
        for run in runs:
            yield _chaos_row(run)
            for kind, count in run.get("faults", {}).items():
                kinds[kind] = kinds.get(kind, 0) + count
        yield from ("", f"Faults: {_counted(kinds)}.")
    planted = results["chaos-mutant"].figures["runs"] if "chaos-mutant" in results else []
    if planted:
        found = sum(bool(run.get("wrong")) for run in planted)
        yield from (
            "",
            f"With the rule `{planted[0].get('mutant', '?')}` taken out of the programs, {found} of {len(planted)} seeds see it:",
            "",
            "| seed | after seconds | faults | sessions | acknowledged writes |",
            "| --- | --- | --- | --- | --- |",
        )
        for run in planted:
            yield _row(
                run["seed"], f"{run.get('seconds', 0):.0f}" if run.get("wrong") else "**not found**",
                sum(run.get("faults", {}).values()), run.get("sessions", 0), _number(run.get("writes", 0)),
            )  # fmt: skip


def _chaos_row(run: Mapping[str, Any]) -> str:
    if "faults" not in run:
        return _row(run["seed"], "", "", "", "", "", "", "**failed**")
    return _row(
        run["seed"],
        sum(run["faults"].values()),
        run["sessions"],
        _number(run["writes"]),
        run["heals"],
        f"{run['longest_s']:.1f} s",
        f"{run['seconds']:.0f}",
        f"**{run['wrong']}**" if run["wrong"] else "nothing wrong",
    )


def _findings(found: Sequence[Found]) -> Iterator[str]:
    repaired = [f for f in found if f.repaired != "open"]
    yield from ("## Findings", "")
    yield f"The proofs found {len(found)} faults in the code; {len(repaired)} are repaired, {len(found) - len(repaired)} are open."
    if found:
        yield from (
            "",
            "| | what | where | found by | repaired | kept as |",
            "| --- | --- | --- | --- | --- | --- |",
        )
    for each in found:
        yield _row(each.number, each.what, each.where, each.found_by, each.repaired, each.kept)


def _counted(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{_number(count)} {kind}" for kind, count in sorted(counts.items())) or "none"


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def _row(*cells: object) -> str:
    texts: Iterable[str] = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |"
