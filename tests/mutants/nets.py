"""The nets in which a mutant is hunted; each says by what it was caught and how fast, and holds with all rules in."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shorthorn.ports.clock import SystemClock
from shorthorn.sim.explorer.search import Limits, Result, search
from shorthorn.sim.explorer.worlds import World
from shorthorn.sim.scenario import runner
from shorthorn.sim.scenario.simulated import Simulated
from tests.explorer import small
from tests.mutants import nodes
from tests.mutants.catalogue import Entry
from tests.mutants.ghost import hunt
from tests.mutants.switches import out
from tests.mutants.worlds import BY_NAME

ROOT = Path(__file__).parents[2]
WALKS = 4_000
"""The rarest violation (fence-not-in-sync) shows within 500 walks; a rule that is in must survive many more."""

STATES = 60_000
CORES_S = 3600.0
SIM_S = 3600.0
SIM_HOURS = 12
"""Virtual hours, a seed each, before a rule of the cores is given up in the simulator of whole clusters."""

_HOW = {
    "a lie": ", a false message was taken",
    "an answer": ", by the words of a refusal alone: another guard refuses it too",
}
"""What was seen is not always harm, and the table says so."""

NATIVE = ROOT / ".cache/mutants/_native.abi3.so"
"""What `make build-mutants` builds."""


class Caught(NamedTuple):
    """`fast`: seed or states, for people. `what` was seen. `seconds`: of CPU until it was seen."""

    by: str
    fast: str
    what: str
    seconds: float = 0.0


class Loose(AssertionError):
    """With all rules in something is wrong: the net proves nothing."""


def walk(entry: Entry, _argument: str, *, harm: bool = False) -> Caught | None:
    """Walks of the law."""
    began = time.process_time()
    with out(entry.name):
        found = hunt(WALKS, harm_only=harm)
    spent = time.process_time() - began
    if found is None:
        return None
    seed, what = found
    wrong = hunt(seed + 1, harm_only=harm)
    if wrong is not None:
        raise Loose(f"seed {wrong[0]}: {wrong[1]}")
    return Caught(
        f"walk of the law{_HOW.get(what.split(':', 1)[0], '')}", f"seed {seed}, {spent:.2f} s", what, spent
    )


def _harm(entry: Entry, argument: str) -> Caught | None:
    return walk(entry, argument, harm=True)


def _nodes(entry: Entry, _argument: str) -> Caught | None:
    if wrong := nodes.hunt():
        raise Loose(wrong)
    with out(entry.name):
        what = nodes.hunt()
    return Caught("walk of the law", "the first node", what) if what else None


def _explore(entry: Entry, world: str) -> Caught | None:
    rule = entry.name if entry.kind == "abstract" else ""
    began = time.process_time()
    with out("" if rule else entry.name):
        result = _search(world, rule, STATES)
    spent = time.process_time() - began
    if not result.broken:
        return None
    if wrong := _held(world, result.states).broken:
        raise Loose(f"{world}: {wrong}")
    fast = f"{result.states} states, {len(result.story)} steps"
    return Caught(f"explorer, {world}", fast, result.broken, spent)


def _abstract(entry: Entry, argument: str) -> Caught | None:
    """The explorer with the rule taken out of its own engines and replicas, under the name that it has there."""
    name, _, rule = argument.partition("/")
    world: World = getattr(small, name)
    began = time.process_time()
    result = small.hunt(world, rule or entry.name)
    spent = time.process_time() - began
    if not result.broken:
        return None
    if wrong := _held_small(name, result.states).broken:
        raise Loose(f"{world.name}: {wrong}")
    fast = f"{result.states} states, {len(result.story)} steps, {spent:.1f} s"
    return Caught(f"explorer, {world.name}, its own programs", fast, result.broken, spent)


@cache
def _held_small(name: str, states: int) -> Result:
    return search(getattr(small, name), SystemClock(), limits=Limits(states=states, seconds=600))


def _search(world: str, rule: str, states: int) -> Result:
    return search(BY_NAME[world], SystemClock(), without=rule, limits=Limits(states=states, seconds=600))


@cache
def _held(world: str, states: int) -> Result:
    """The same states, with all rules in."""
    return _search(world, "", states)


def _cores(entry: Entry, _argument: str) -> Caught | None:
    return _cores_all(os.environ.get("SHORTHORN_CORES", "")).get(entry.name)


@cache
def _cores_all(names: str) -> dict[str, Caught]:
    """One run of the test that needs the Cargo feature `mutants`; some switches, or all. It checks the rules-in runs itself."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Loose("the switches of the cores need cargo")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutants"
    command = [cargo, "test", "--release", "--locked", "--package", "shorthorn-core", "--features", "mutants"]
    chosen = {"MUTANTS": names} if names else {}
    ran = subprocess.run(
        [*command, "--test", "mutants_are_caught", "--", "--nocapture"],
        cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": str(target), **chosen},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=CORES_S,
    )
    lines = re.findall(r"^caught (\S+) by (\S+) seed (\d+) in ([\d.]+) s: (.*)$", ran.stdout, re.MULTILINE)
    if not lines or ("panicked" in ran.stderr and "nothing misses" not in ran.stderr):
        raise Loose(ran.stderr[-4000:])
    return {
        name: Caught(f"simulator of the cores, {world}", f"seed {seed}, {spent} s", what, float(spent))
        for name, world, seed, spent, what in lines
    }


def _scenario(entry: Entry, name: str) -> Caught | None:
    """A scenario whose answers are not those of its file any more."""
    began = time.process_time()
    with out(entry.name):
        wrong = _told(name)
    spent = time.process_time() - began
    if not wrong:
        return None
    if loose := _told(name):
        raise Loose(f"{name}: {loose}")
    return Caught(f"scenario {name}", f"{spent:.1f} s", wrong, spent)


def _told(name: str) -> str:
    """What is wrong with a scenario as it is told now; empty when it is as in its file."""
    try:
        outcome = runner.run_file(ROOT / "tests/scenarios" / f"{name}.txt", Simulated)
    except Exception as error:
        if blunder := _blunder(error):
            raise AssertionError(f"the mutant itself is broken: {blunder!r}") from error
        return f"{type(error).__name__}: {error}".split("\n", 1)[0]
    changed = [line for line in outcome.difference(name).splitlines()[3:] if line[:1] in "+-"]
    return "" if outcome.agrees else "; ".join(changed)[:300]


def _blunder(error: BaseException) -> BaseException | None:
    """An error of a patch that does not fit what it patches, in what an exception comes from: that catches nothing."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, TypeError | AttributeError | NameError):
        at = at.__cause__
    return at


def _sim(entry: Entry, seeds: str) -> Caught | None:
    """Whole clusters, by seed, each in a process of its own: the seeds that are named, then others."""
    native = entry.kind == "core"
    if native and not NATIVE.is_file():
        raise Loose(f"{NATIVE.relative_to(ROOT)} is not there: make build-mutants")
    named = [int(seed) for seed in seeds.split(",") if seed]
    others = [seed for seed in range(1, SIM_HOURS + 1) if seed not in named] if native else []
    said = _simulated(entry.name, [*named, *others], native=native)
    if "seed" not in said:
        return None
    if loose := _simulated_whole(said["seed"], native=native).get("what"):
        raise Loose(f"seed {said['seed']}: {loose}")
    spent = float(said["cpu_s"])
    at = f"seed {said['seed']} after {said['at_s']:.0f} virtual s, {spent:.0f} s"
    return Caught("simulator", at, str(said["what"]), spent)


@cache
def _simulated_whole(seed: int, *, native: bool) -> dict[str, Any]:
    """The same seed, in the same build, with all rules in."""
    return _simulated("", [seed], native=native)


def _simulated(name: str, seeds: list[int], *, native: bool) -> dict[str, Any]:
    build = ["--native", str(NATIVE)] if native else ["--controls", "2"]
    command = [sys.executable, "-m", "tests.mutants.apart", name, *map(str, seeds), *build]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SIM_S,
    )
    if ran.returncode != 0:
        raise Loose(ran.stderr[-2000:])
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


NETS: dict[str, Callable[[Entry, str], Caught | None]] = {
    "walk": walk,
    "harm": _harm,
    "nodes": _nodes,
    "explore": _explore,
    "abstract": _abstract,
    "cores": _cores,
    "scenario": _scenario,
    "sim": _sim,
}


def catch(entry: Entry) -> Caught | None:
    """By the first of its nets that does."""
    return next(iter(_hunted(entry)), None)


def catch_all(entry: Entry) -> list[Caught]:
    """By every net of its row that does, the fastest first."""
    return sorted(_hunted(entry), key=lambda caught: caught.seconds)


def _hunted(entry: Entry) -> Iterator[Caught]:
    for net in entry.nets:
        name, _, argument = net.partition(":")
        if (caught := NETS[name](entry, argument)) is not None:
            yield caught
