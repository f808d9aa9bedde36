"""The tree of commands, and what an error becomes: one line on standard error and an exit code."""

import json
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownCommandError

from shorthorn.errors import ShorthornError
from shorthorn.faces.cli.client import Refusal
from shorthorn.faces.cli.commands import (
    cluster,
    explore,
    nodes,
    processes,
    scenario,
    settings,
    sim,
    volumes,
)
from shorthorn.faces.cli.options import WrongLine
from shorthorn.version import version_line

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def build() -> App:
    """All commands."""
    app = App(
        name="shorthorn",
        help="Replicated block storage that is never wrong about a volume's state.",
        version=version_line("shorthorn"),
        version_flags=["--version"],
        help_flags=["--help", "-h"],
        result_action="return_value",
    )
    processes.add(app)
    volumes.add(app)
    nodes.add(app)
    settings.add(app)
    cluster.add(app)
    scenario.add(app)
    sim.add(app)
    explore.add(app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line."""
    app = build()
    wants_json = ("json" in arguments and "--output" in arguments) or "--output=json" in arguments
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain("usage", _misread(error), wants_json=wants_json)
        return USAGE
    except WrongLine as error:
        _complain(error.code, error.message, wants_json=wants_json)
        return USAGE
    except ShorthornError as error:
        code = error.problem_code if isinstance(error, Refusal) else error.code
        _complain(code, error.message, wants_json=wants_json)
        return FAILED
    except BrokenPipeError:
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


def _complain(code: str, message: str, *, wants_json: bool) -> None:
    """One line for people, and one object for a program that reads standard output."""
    if wants_json:
        print(json.dumps({"error": {"code": code, "message": message}}))
    print(f"shorthorn: {message}", file=sys.stderr)


def _misread(error: CycloptsError) -> str:
    """What is wrong with a command line, in one line."""
    group = " ".join(("shorthorn", *(error.command_chain or ())))
    what = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, UnknownCommandError) and error.app is not None and error.unused_tokens:
        # The library's own sentence names the first eight and "...".
        names = ", ".join(name for name in error.app if not name.startswith("-"))
        what = f"there is no command `{group} {error.unused_tokens[0]}`; there are {names}"
    return f"{what}; see `{group} --help`"
