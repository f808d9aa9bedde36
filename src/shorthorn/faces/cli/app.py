"""The tree of commands, and what an error becomes: one line on standard error and an exit code."""

import json
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from shorthorn.errors import ShorthornError
from shorthorn.faces.cli.client import Refusal
from shorthorn.faces.cli.commands import (
    cluster,
    explore,
    nodes,
    processes,
    proofs,
    scenario,
    settings,
    volumes,
)
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
    proofs.add(app)
    explore.add(app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line."""
    app = build()
    wants_json = ("json" in arguments and "--output" in arguments) or "--output=json" in arguments
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        print(
            f"shorthorn: {' '.join(str(error).split()).rstrip('.')}; see `shorthorn --help`", file=sys.stderr
        )
        return USAGE
    except ShorthornError as error:
        code = error.problem_code if isinstance(error, Refusal) else error.code
        if wants_json:
            print(json.dumps({"error": {"code": code, "message": error.message}}))
        print(f"shorthorn: {error.message}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE
