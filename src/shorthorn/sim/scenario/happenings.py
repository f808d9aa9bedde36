"""What happens to machines, programs, networks and disks."""

from shorthorn.sim.scenario import words
from shorthorn.sim.scenario.scenario import Scenario
from shorthorn.sim.scenario.stage import Kind, Program
from shorthorn.sim.scenario.verb import Chapter, Do, Names, Options, Verb


def _program(names: Names, options: Options) -> Program:
    kind = Kind(names[0])
    of = names[1] if len(names) > 1 else "c1" if kind is Kind.CONTROL else ""
    if not of:
        raise ValueError(f"which {kind}?")
    return Program(kind, of, options.get("on", ""))


def _of_program(act: str) -> Do:
    def do(scenario: Scenario, names: Names, options: Options) -> None:
        getattr(scenario.on(), act)(_program(names, options))

    return do


def _restart(scenario: Scenario, names: Names, options: Options) -> None:
    program = _program(names, options)
    scenario.on().kill(program)
    if program.kind in (Kind.AGENT, Kind.CONTROL):
        scenario.on().start(program)


def _power_off(scenario: Scenario, names: Names, _options: Options) -> None:
    for name in names:
        scenario.on().power_off(name)


def _power_on(scenario: Scenario, names: Names, _options: Options) -> None:
    for name in names:
        scenario.on().power_on(name)


def _cut(scenario: Scenario, names: Names, _options: Options) -> None:
    one_way = "one-way" in names
    one, other = [*(name for name in names if name != "one-way"), ""][:2]
    scenario.on().cut(one, other, one_way=one_way)


def _join(scenario: Scenario, names: Names, _options: Options) -> None:
    one, other = [*names, ""][:2]
    scenario.on().join(one, other)


def _lead(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().lead(names[0])


def _fill(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().fill(names[0])


def _free(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().free(names[0])


def _rot(scenario: Scenario, names: Names, _options: Options) -> None:
    volume, node, block = names
    scenario.on().rot(volume, node, words.block(block))


def _damage(scenario: Scenario, names: Names, _options: Options) -> None:
    volume, node = names
    scenario.on().damage(volume, node)


def _fail(scenario: Scenario, names: Names, _options: Options) -> None:
    node, what = names
    if what not in ("sync", "write"):
        raise ValueError(f"{what} does not fail by itself; write sync or write")
    scenario.on().fail(node, what)


def _reset(scenario: Scenario, names: Names, _options: Options) -> None:
    one, other = names
    scenario.on().reset(one, other)


def _remove(scenario: Scenario, names: Names, _options: Options) -> None:
    volume, node = names
    scenario.on().remove(volume, node)


def _slow(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().slow(names[0], 0.0 if names[1] == "off" else words.duration(names[1]))


def _clock(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().clock(names[0], words.duration(names[1]))


WHAT = "engine v1 [on=n2] | replica n2 | agent n2 | control [c1]"

FAULTS = Chapter(
    "What happens to machines, programs, networks and disks",
    (
        Verb("power-off n2 …", "the machine loses power, with what no sync had made durable", _power_off),
        Verb("power-on n2 …", "it starts again, under another boot id, with its agent", _power_on),
        Verb(
            f"kill {WHAT}",
            "SIGKILL: nothing of it runs any more; without `on` the engine of the recorded session",
            _of_program("kill"),
        ),
        Verb(f"pause {WHAT}", "SIGSTOP: it stands still, its connections stand", _of_program("pause")),
        Verb(f"resume {WHAT}", "SIGCONT", _of_program("resume")),
        Verb(
            f"start {WHAT}",
            "start an agent or a control process again; engines and replica programs are their agent's to start",
            _of_program("start"),
        ),
        Verb(
            f"restart {WHAT}",
            "kill and start again, at once; engines and replica programs by their agent, when it may",
            _restart,
        ),
        Verb("lead c2", "that control process becomes the leader", _lead),
        Verb(
            "cut n1 [n2] [one-way]",
            "n1 and n2 (or all others; `control` is a place, too) do not hear each other; one-way: n1 is not heard",
            _cut,
        ),
        Verb("join n1 [n2]", "the end of that", _join),
        Verb("reset n1 n2", "every connection between the two breaks", _reset),
        Verb("fill n2", "its disk has no space left", _fill),
        Verb("free n2", "the end of that", _free),
        Verb("rot v1 n2 b0", "the block's bytes on n2's disk are not what was written, silently", _rot),
        Verb("damage v1 n2", "the header of the replica on n2 is not readable any more", _damage),
        Verb("fail n2 sync", "the next sync (or `write`) of its disk fails, with an error", _fail),
        Verb(
            "remove v1 n2", "somebody deletes the volume's folders on n2's disk with their own hands", _remove
        ),
        Verb("slow n2 20ms", "each operation of its disk takes so long; `off` ends it", _slow),
        Verb("clock n2 +1h", "its wall clock jumps", _clock),
    ),
)
