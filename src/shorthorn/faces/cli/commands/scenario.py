"""`shorthorn scenario FILE…`: stories told on the simulator, and whether their answers come."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from shorthorn.errors import NotFound, ShorthornError
from shorthorn.faces.cli import render
from shorthorn.faces.cli.options import WrongLine
from shorthorn.faces.cli.render import Output


class Unexpected(ShorthornError):
    """A scenario did not go as its file says."""

    code = "unexpected"


def add(app: App) -> None:
    """Add the command."""
    app.command(scenario)


def scenario(
    *files: Path,
    rewrite: Annotated[
        bool, Parameter(help="Write the answers that come into the files: read the diff.", negative="")
    ] = False,
    seed: Annotated[
        int | None, Parameter(help="Another chance than the file's: other delays, the same story.")
    ] = None,
    output: Annotated[Output, Parameter(help="text for people, json for programs.")] = "text",
) -> None:
    """Run scenario files on the simulator; show where an answer differs from the one in the file.

    docs/scenarios.md has the commands. Exit code 1 if any differs, or breaks an invariant on the way.
    """
    if not files:
        raise WrongLine("name at least one scenario file")
    results = []
    for path in files:
        result = _run(path, seed, rewrite=rewrite)
        results.append(result)
        if output == "text":
            print(
                "\n".join(line for line in (f"{path}: {result['result']}", result["difference"]) if line),
                flush=True,
            )
    if output == "json":
        render.show_json({"scenarios": results})
    wrong = [result["file"] for result in results if result["result"] not in ("as expected", "rewritten")]
    if wrong:
        raise Unexpected(f"{len(wrong)} of {len(results)} not as expected: {', '.join(wrong)}")


def _run(path: Path, seed: int | None, *, rewrite: bool) -> dict[str, str]:
    from shorthorn.sim.scenario import runner  # noqa: PLC0415 - no other command needs the simulator
    from shorthorn.sim.scenario.script import BadScenario  # noqa: PLC0415
    from shorthorn.sim.scenario.simulated import Simulated  # noqa: PLC0415

    # What simulated agents and servers log is part of the world; the answer is what counts.
    logging.getLogger("shorthorn").addHandler(logging.NullHandler())
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        make = Simulated if seed is None else lambda plan: Simulated(replace(plan, seed=seed))
        outcome = runner.run_file(path, make, rewrite=rewrite)
    except BadScenario as error:
        return {"file": str(path), "result": f"not a scenario: {error}", "difference": ""}
    except runner.WRONG as error:
        return {"file": str(path), "result": f"failed ({type(error).__name__}): {error}", "difference": ""}
    if outcome.agrees:
        return {"file": str(path), "result": "as expected", "difference": ""}
    if rewrite:
        return {"file": str(path), "result": "rewritten", "difference": ""}
    return {"file": str(path), "result": "differs", "difference": outcome.difference(path.name)}
