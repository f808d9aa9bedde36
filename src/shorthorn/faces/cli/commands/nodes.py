"""`shorthorn node …`: what is known of nodes, and what people want of them.

`shorthorn node --join URL` starts an agent; see `processes`.
"""

from cyclopts import App

from shorthorn.faces.cli import render
from shorthorn.faces.cli.client import quoted
from shorthorn.faces.cli.commands.processes import node as run_node
from shorthorn.faces.cli.options import DEFAULT, Common


def add(app: App) -> None:
    """Add the group."""
    group = App(
        name="node", help="Nodes: list, show, cordon, uncordon, evict; --join URL runs the agent of this one."
    )
    group.default(run_node)
    for command in (list_, show, cordon, uncordon, evict):
        group.command(command, name=command.__name__.rstrip("_"))
    app.command(group)


def list_(*, common: Common = DEFAULT) -> None:
    """All nodes."""
    answer = common.client().call("GET", "/v1/nodes")
    if common.json:
        render.show_json(answer)
    else:
        render.show_nodes(answer["nodes"])


def show(name: str, /, *, common: Common = DEFAULT) -> None:
    """Everything about one node; while it is evicted, also how far that is, or what blocks it."""
    _show(common.client().call("GET", _path(name)), common)


def cordon(name: str, /, *, common: Common = DEFAULT) -> None:
    """No new replica and no new session on the node; what is there stays."""
    _show(common.client().call("PUT", _path(name, "/cordon")), common)


def uncordon(name: str, /, *, common: Common = DEFAULT) -> None:
    """The opposite of cordon."""
    _show(common.client().call("DELETE", _path(name, "/cordon")), common)


def evict(name: str, /, *, cancel: bool = False, common: Common = DEFAULT) -> None:
    """Move all replicas off the node, without attaching anything; what can't move is named with the reason."""
    _show(common.client().call("DELETE" if cancel else "PUT", _path(name, "/eviction")), common)


def _path(name: str, rest: str = "") -> str:
    return f"/v1/nodes/{quoted(name)}{rest}"


def _show(node: dict[str, object], common: Common) -> None:
    if common.json:
        render.show_json(node)
    else:
        render.show_node(node)
