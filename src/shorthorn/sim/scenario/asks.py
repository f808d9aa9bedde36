"""What people, consumers and clients of the device ask."""

from shorthorn.core.model.volume import Spec
from shorthorn.sim.scenario import words
from shorthorn.sim.scenario.scenario import Scenario
from shorthorn.sim.scenario.stage import Plan
from shorthorn.sim.scenario.verb import Chapter, Do, Names, Options, Verb

HOLDER = "pod"


def _cluster(scenario: Scenario, _names: Names, options: Options) -> None:
    if scenario.stage is not None:
        raise ValueError("there is a cluster already")
    known = {"nodes", "disk", "control", "seed"}
    scenario.stage = scenario.make(
        Plan(
            nodes=words.number(options["nodes"]),
            disk_bytes=words.size(options.get("disk", "100GiB")),
            controls=words.number(options.get("control", "1")),
            seed=words.number(options.get("seed", "1")),
            settings={name: words.figure(value) for name, value in options.items() if name not in known},
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
    return scenario.on().setting(names[0], None if names[1] == "forever" else words.figure(names[1]))


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
        Verb("node n4 [disk=100GiB] [LABEL=VALUE]", "one more node, with labels such as `zone=a`", _node),
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
    volume, block, value = names[0], words.block(names[1]), words.number(names[2])
    node, fua = options.get("on", ""), _yes(options, "fua")
    scenario.find_device(volume, node)
    call = scenario.on().write(volume, block, value, node=node, fua=fua)
    scenario.ask(_told("write", names, options), call)


def _yes(options: Options, key: str) -> bool:
    word = options.get(key, "no")
    if word not in ("yes", "no"):
        raise ValueError(f"{key} is yes or no, not {word}")
    return word == "yes"


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
