"""The table of commands: how each is written, what it means, and what it does.

docs/scenarios.md is made from this table (tools.scenario_page), so it can't lag behind.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shorthorn.core.model.volume import Spec
from shorthorn.sim.scenario import look, words
from shorthorn.sim.scenario.scenario import Scenario, condition
from shorthorn.sim.scenario.script import BadScenario, Command
from shorthorn.sim.scenario.stage import Kind, NotHere, Plan, Program

REST_S = 900.0
UNTIL_S = 60.0
HOLDER = "pod"

Names = list[str]
Options = dict[str, str]
Do = Callable[[Scenario, Names, Options], str | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """One command. `do` returns the words of a refusal, if there is one."""

    usage: str
    meaning: str
    do: Do

    @property
    def name(self) -> str:
        return self.usage.split()[0]


@dataclass(frozen=True, slots=True)
class Chapter:
    """Commands that belong together."""

    title: str
    verbs: tuple[Verb, ...]


def carry_out(scenario: Scenario, command: Command) -> None:
    """Do one command. Raises `BadScenario` when it is not understood or can't be done here."""
    verb, *rest = command.text.split()
    known = _BY_NAME.get(verb)
    if known is None:
        raise BadScenario(f"line {command.line}: {command.text}: no such command")
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    names = [word for word in rest if "=" not in word]
    try:
        why = known.do(scenario, names, options)
    except (KeyError, IndexError, TypeError, ValueError, NotHere) as error:
        said = error.args[0] if error.args else type(error).__name__
        raise BadScenario(f"line {command.line}: {command.text}: {said!s}; usage: {known.usage}") from error
    scenario.refuse(command.text, why or "")


# People and consumers


def _cluster(scenario: Scenario, _names: Names, options: Options) -> None:
    if scenario.stage is not None:
        raise ValueError("there is a cluster already")
    known = {"nodes", "disk", "control", "seed"}
    scenario.stage = scenario.make(
        Plan(
            nodes=int(options["nodes"]),
            disk_bytes=words.size(options.get("disk", "100GiB")),
            controls=int(options.get("control", "1")),
            seed=int(options.get("seed", "1")),
            settings={name: float(value) for name, value in options.items() if name not in known},
        )
    )


def _node(scenario: Scenario, names: Names, options: Options) -> None:
    size = words.size(options.get("disk", "100GiB"))
    labels = {key: value for key, value in options.items() if key != "disk"}
    scenario.on().add_node(names[0], size, labels)


def _volume(scenario: Scenario, names: Names, options: Options) -> str:
    keys = tuple(key for key in options.get("domain", "").split(",") if key)
    spec = Spec(replicas=words.count(options.get("replicas", "3")), domain_keys=keys)
    return scenario.on().create(names[0], words.size(options["size"]), spec)


def _setting(scenario: Scenario, names: Names, _options: Options) -> str:
    return scenario.on().setting(names[0], None if names[1] == "forever" else float(names[1]))


def _attach(scenario: Scenario, names: Names, _options: Options) -> str:
    volume, node, holder = [*names, HOLDER][:3]
    return scenario.on().attach(volume, node, holder)


def _detach(scenario: Scenario, names: Names, _options: Options) -> str:
    volume, holder = [*names, HOLDER][:2]
    return scenario.on().detach(volume, holder)


def _scale(scenario: Scenario, names: Names, _options: Options) -> str:
    return scenario.on().scale(names[0], words.count(names[1]))


def _delete(scenario: Scenario, names: Names, _options: Options) -> str:
    return scenario.on().delete(names[0])


def _of_node(verb: str) -> Do:
    return lambda scenario, names, _: scenario.on().node_request(verb, names[0])


PEOPLE = Chapter(
    "What people and consumers ask",
    (
        Verb(
            "cluster nodes=3 [disk=100GiB] [control=1] [seed=1] [SETTING=VALUE]",
            "n1 n2 n3, each with one disk of that size; control processes c1 c2 …",
            _cluster,
        ),
        Verb("node n4 [disk=100GiB] [zone=a]", "one more node; other keys are labels", _node),
        Verb(
            "setting NAME VALUE",
            "change a setting of the cluster; `forever` where that is possible",
            _setting,
        ),
        Verb("volume v1 size=1GiB [replicas=3] [domain=zone]", "create", _volume),
        Verb("attach v1 n1 [HOLDER]", "a consumer attaches; the holder is `pod` if it has no name", _attach),
        Verb("detach v1 [HOLDER]", "a consumer lets go", _detach),
        Verb("scale v1 2", "another number of replicas", _scale),
        Verb("delete v1", "delete the volume", _delete),
        Verb("cordon n2", "nothing new is placed there", _of_node("cordon")),
        Verb("uncordon n2", "the end of that", _of_node("uncordon")),
        Verb("evict n2", "empty the node", _of_node("evict")),
        Verb("cancel-evict n2", "the end of that", _of_node("cancel-evict")),
        Verb("dead n2", "a person says that the node will not come back", _of_node("dead")),
        Verb("undead n2", "that is taken back", _of_node("undead")),
    ),
)


# Clients


def _write(scenario: Scenario, names: Names, options: Options) -> None:
    volume, block, value = names[0], words.block(names[1]), int(names[2])
    node, fua = options.get("on", ""), options.get("fua") == "yes"
    scenario.find_device(volume, node)
    call = scenario.on().write(volume, block, value, node=node, fua=fua)
    scenario.ask(_told("write", names, options), call)


def _read(scenario: Scenario, names: Names, options: Options) -> None:
    volume, block, node = names[0], words.block(names[1]), options.get("on", "")
    scenario.find_device(volume, node)
    scenario.ask(_told("read", names, options), scenario.on().read(volume, block, node=node))


def _flush(scenario: Scenario, names: Names, options: Options) -> None:
    (volume,) = names
    scenario.find_device(volume, options.get("on", ""))
    scenario.ask(_told("flush", names, options), scenario.on().flush(volume, node=options.get("on", "")))


def _told(verb: str, names: Names, options: Options) -> str:
    return " ".join((verb, *names, *(f"{key}={value}" for key, value in options.items())))


CLIENTS = Chapter(
    "What clients of the device do",
    (
        Verb(
            "write v1 b0 7 [on=n1] [fua=yes]",
            "write a number into a block of 4 KiB, at the device where the volume was attached last, or of that node; "
            "waits up to a minute for a device, and up to a second for the answer",
            _write,
        ),
        Verb(
            "read v1 b0 [on=n1]", "read a block; the answer tells the number, 0 for one never written", _read
        ),
        Verb("flush v1 [on=n1]", "what was answered is to survive a power loss", _flush),
    ),
)


# What happens


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


WHAT = "engine v1 | replica n2 | agent n2 | control [c1]"

FAULTS = Chapter(
    "What happens to machines, programs, networks and disks",
    (
        Verb("power-off n2 …", "the machine loses power, with what no sync had made durable", _power_off),
        Verb("power-on n2 …", "it starts again, under another boot id, with its agent", _power_on),
        Verb(
            f"kill {WHAT}",
            "SIGKILL: nothing of it runs any more. `on=n2` names an engine's node",
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


# Time


def _for(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.on().run_for(words.duration(names[0]))


def _until(scenario: Scenario, names: Names, options: Options) -> None:
    within_s = words.duration(options["within"]) if "within" in options else UNTIL_S
    scenario.until(" ".join(names), condition(names), within_s)


def _rest(scenario: Scenario, _names: Names, options: Options) -> None:
    scenario.on().rest(words.duration(options["within"]) if "within" in options else REST_S)


TIME = Chapter(
    "Time",
    (
        Verb("for 3s", "so long; `500ms`, `10m`, `2h`", _for),
        Verb(
            "until v1 attached [healthy] [within=60s]",
            "until it is so, else the scenario fails. Also: `until v1 replicas n1 n2`, `v1 syncing n4`, `v1 copied n4`, "
            "`v1 leaving n2`, `v1 opening`, `v1 closing`, `v1 fencing`, `v1 settled`, `v1 gone`, `evict n2 done`",
            _until,
        ),
        Verb(
            "rest [within=15m]",
            "until nothing has changed for 70 s, which is longer than every pause in the system but `replace_after_s`; fails if "
            "that never comes",
            _rest,
        ),
    ),
)


# Looking


def _waits(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.looks.append(lambda: look.wait_lines(scenario.on().world(), names[0]))


def _explain(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.looks.append(lambda: look.reason_lines(scenario.on().world(), names[0]))


def _engines(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.looks.append(
        lambda: [f"engines of {names[0]}: {' '.join(scenario.on().engines(names[0])) or 'none'}"]
    )


def _folders(scenario: Scenario, names: Names, _options: Options) -> None:
    scenario.looks.append(
        lambda: [f"folders on {names[0]}: {' '.join(scenario.on().folders(names[0])) or 'none'}"]
    )


def _mark(scenario: Scenario, _names: Names, _options: Options) -> None:
    scenario.mark = scenario.sessions()


LOOKING = Chapter(
    "What the next answer tells besides",
    (
        Verb("waits v1", "what planning holds back for the volume, and what would free it", _waits),
        Verb("explain v1", "why the volume is as it is, and what it waits for", _explain),
        Verb("engines v1", "where engines of the volume really run, whatever is recorded", _engines),
        Verb("folders n2", "whose replicas really lie on the node's disk", _folders),
        Verb("mark", "from now on each answer counts the sessions started since", _mark),
    ),
)

CHAPTERS = (PEOPLE, CLIENTS, FAULTS, TIME, LOOKING)

_BY_NAME = {verb.name: verb for chapter in CHAPTERS for verb in chapter.verbs}
