"""`shorthorn explore`: search small worlds completely."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from shorthorn.faces.cli import render
from shorthorn.faces.cli.options import WrongLine
from shorthorn.faces.cli.render import Output

if TYPE_CHECKING:
    from shorthorn.sim.explorer.worlds import World


def add(app: App) -> None:
    """Add the command."""
    app.command(explore)


def explore(
    *,
    world: Annotated[
        tuple[str, ...], Parameter(help="Only this world; all by default.", negative="", show_default=False)
    ] = (),
    deep: Annotated[bool, Parameter(help="The deep worlds, which may stop at a limit.", negative="")] = False,
    quick: Annotated[bool, Parameter(help="Two small worlds: less than a minute.", negative="")] = False,
    without: Annotated[
        str,
        Parameter(help="Take one rule out of the abstract engines, replicas or agents.", show_default=False),
    ] = "",
    seconds: Annotated[float, Parameter(help="Limit of each world.")] = 900.0,
    output: Annotated[Output, Parameter(help="text for people, json for programs.")] = "text",
) -> None:
    """Search every state of small worlds with the real core. Fails when something is broken or not all was looked at."""
    from shorthorn.ports.clock import SystemClock  # noqa: PLC0415 - the client commands need none of it
    from shorthorn.sim.explorer import report, rules  # noqa: PLC0415
    from shorthorn.sim.explorer.search import Limits, search  # noqa: PLC0415

    if without and without not in rules.RULES:
        raise WrongLine(f"there is no rule {without!r}; there are {', '.join(rules.RULES)}")
    results = []
    chosen = _chosen(world, deep=deep, quick=quick)
    for number, one in enumerate(chosen, start=1):
        if sys.stderr.isatty():
            print(f"{number} of {len(chosen)}, {one.name}: {one.about} …", file=sys.stderr, flush=True)
        result = search(one, SystemClock(), without=without, limits=Limits(seconds=seconds))
        results.append(result)
        if output == "text":
            print(report.line(result), flush=True)
            for text in result.story:
                print(text)
    whole = report.report(results, may_stop=deep)
    if output == "json":
        render.show_json(whole)
    else:
        print(report.total(results))
    if not whole["passed"]:
        sys.exit(1)


def _chosen(names: tuple[str, ...], *, deep: bool, quick: bool) -> list["World"]:
    from shorthorn.sim.explorer.worlds import QUICK, WORLDS  # noqa: PLC0415 - see `explore`

    known = {world.name: world for world in WORLDS}
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise WrongLine(f"there is no world {strange!r}; there are {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    if quick:
        return [known[name] for name in QUICK]
    return [world for world in WORLDS if world.deep == deep]
