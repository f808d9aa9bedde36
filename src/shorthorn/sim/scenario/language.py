"""The table of commands, and how one is carried out.

docs/scenarios.md is made from this table (tools.scenario_page), so it can't lag behind.
"""

from shorthorn.sim.scenario import look, words
from shorthorn.sim.scenario.asks import CLIENTS, PEOPLE
from shorthorn.sim.scenario.happenings import FAULTS
from shorthorn.sim.scenario.scenario import Scenario, condition
from shorthorn.sim.scenario.script import BadScenario, Command
from shorthorn.sim.scenario.stage import NotHere
from shorthorn.sim.scenario.verb import Chapter, Names, Options, Verb

REST_S = 900.0
UNTIL_S = 60.0


def carry_out(scenario: Scenario, command: Command) -> None:
    """Do one command. Raises `BadScenario` when it is not understood or can't be done here."""
    verb, *rest = command.text.split()
    known = _BY_NAME.get(verb)
    if known is None:
        raise BadScenario(f"line {command.line}: {command.text}: no such command")
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    names = [word for word in rest if "=" not in word]
    try:
        known.check(names, options)
        why = known.do(scenario, names, options)
    except (KeyError, ValueError, NotHere) as error:
        said = error.args[0] if error.args else type(error).__name__
        raise BadScenario(f"line {command.line}: {command.text}: {said!s}; usage: {known.usage}") from error
    scenario.refuse(command.text, why or "")


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
            "until v1 attached [healthy …] [within=60s]",
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
