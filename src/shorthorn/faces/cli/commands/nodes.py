"""`shorthorn node …`: what is known of nodes, and what people want of them.

`shorthorn node --join URL` starts an agent; see `processes`.
"""

import getpass
from typing import Annotated, Any

from cyclopts import App, Parameter

from shorthorn.errors import Invalid
from shorthorn.faces.cli import render
from shorthorn.faces.cli.client import quoted
from shorthorn.faces.cli.commands.processes import node as run_node
from shorthorn.faces.cli.options import DEFAULT, Common


def add(app: App) -> None:
    """Add the group."""
    group = App(
        name="node",
        help="Nodes: list, show, cordon, uncordon, evict, declare-dead; --join URL runs the agent of this one.",
    )
    group.default(run_node)
    for command in (list_, show, cordon, uncordon, evict, declare_dead):
        group.command(command, name=command.__name__.rstrip("_").replace("_", "-"))
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


def declare_dead(
    name: str,
    /,
    *,
    why: Annotated[str | None, Parameter(help="Why it will not come back, for the journal.")] = None,
    who: Annotated[str | None, Parameter(help="Who says so; default: the user's name.")] = None,
    force: Annotated[bool, Parameter(help="Also a node that is heard.", negative="")] = False,
    cancel: Annotated[bool, Parameter(help="Take it back.", negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Say that a node will not come back: its sessions are fenced, and nothing waits for its replicas any more.

    A session there still ends by a fence only, so no data that clients flushed is lost while an in-sync replica is left
    elsewhere. Should the node come back, its replicas are made equal again or deleted, never believed.
    """
    client = common.client()
    speaker = who or _user()
    answer: dict[str, Any]
    if cancel:
        answer = client.call("DELETE", _path(name, f"/declare-dead?who={quoted(speaker)}"))
    elif why is None:
        raise Invalid("say why the node will not come back: --why TEXT; it is kept in the journal")
    else:
        body = {"who": speaker, "why": why, "force": force}
        answer = client.call("POST", _path(name, "/declare-dead"), body)
    if common.json:
        render.show_json(answer)
        return
    dead = answer["node"]["dead"]
    print(
        f"{name} is declared dead by {answer['node']['dead_by']}: {dead}"
        if dead
        else f"{name} is not declared dead"
    )
    for line in answer["effects"]:
        print(f"  {line}")


def _user() -> str:
    """The name of whoever runs the command; containers may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "a person"


def _path(name: str, rest: str = "") -> str:
    return f"/v1/nodes/{quoted(name)}{rest}"


def _show(node: dict[str, object], common: Common) -> None:
    if common.json:
        render.show_json(node)
    else:
        render.show_node(node)
