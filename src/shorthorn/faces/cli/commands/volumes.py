"""`shorthorn volume …`."""

import sys
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from shorthorn.core.model.units import format_size, parse_size
from shorthorn.errors import Invalid, NotFound, NotNow
from shorthorn.faces.cli import render
from shorthorn.faces.cli.client import Client, Refusal, quoted
from shorthorn.faces.cli.options import DEFAULT, Common
from shorthorn.ports.clock import SystemClock

_CLOCK = SystemClock()

WAIT_STEP_S = 20.0
"""One waiting call to the server; in between, the reason is shown again if it changed."""

Timeout = Annotated[
    float, Parameter(help="Seconds to wait at the most. What was asked for goes on after that.")
]
Holder = Annotated[str, Parameter(help="Under which name the volume is held.")]


def add(app: App) -> None:
    """Add the group."""
    group = App(
        name="volume", help="Volumes: create, list, show, attach, detach, delete, history, explain, expand."
    )
    for command in (create, list_, show, delete, attach, detach, history, explain, expand):
        group.command(command, name=command.__name__.rstrip("_"))
    app.command(group)


def create(  # noqa: PLR0913 - the options of one command
    name: str,
    /,
    *,
    size: Annotated[str, Parameter(help="Such as 10GiB; a multiple of 4 KiB.")],
    replicas: Annotated[str, Parameter(help="How many, each on a node of its own; or auto.")] = "3",
    domain: Annotated[
        tuple[str, ...],
        Parameter(help="Node label whose values must differ between replicas.", negative=""),
    ] = (),
    reads: Annotated[
        Literal["granted", "strict"],
        Parameter(
            help="strict: a read waits for an answer of every in-sync replica, so that not even a hypervisor's pause "
            "makes it stale; granted: an answer of the last 2 s is enough."
        ),
    ] = "granted",
    wait: Annotated[bool, Parameter(help="Wait until its replicas are there.")] = False,
    timeout: Timeout = 60.0,
    common: Common = DEFAULT,
) -> None:
    """Create a volume of SIZE (such as 10GiB) with a number of replicas, or auto."""
    body = {
        "name": name,
        "size": _size(size),
        "replicas": None if replicas == "auto" else _count(replicas),
        "domain_keys": list(domain),
        "reads": reads,
    }
    client = common.client()
    volume = client.call("POST", "/v1/volumes", body)
    if wait:
        volume = _wait(client, name, ("detached",), timeout)
    _show(volume, common, f"volume {name} created: {format_size(volume['size'])}, {volume['state']}")


def list_(*, common: Common = DEFAULT) -> None:
    """All volumes."""
    answer = common.client().call("GET", "/v1/volumes")
    if common.json:
        render.show_json(answer)
    else:
        render.show_volumes(answer["volumes"])


def show(name: str, /, *, common: Common = DEFAULT) -> None:
    """Everything about one volume."""
    volume = common.client().call("GET", _path(name))
    if common.json:
        render.show_json(volume)
    else:
        render.show_volume(volume)


def delete(
    name: str,
    /,
    *,
    wait: Annotated[bool, Parameter(help="Wait until all its folders are gone.")] = False,
    timeout: Timeout = 60.0,
    common: Common = DEFAULT,
) -> None:
    """Delete a volume with all it holds. Refused while it is held."""
    client = common.client()
    client.call("DELETE", _path(name))
    if wait:
        _wait_gone(client, name, timeout)
    done = "deleted" if wait else "is being deleted"
    _show({"name": name, "deleting": True}, common, f"volume {name} {done}")


def attach(
    name: str,
    /,
    *,
    node: Annotated[str, Parameter(help="Where the client runs.")],
    holder: Holder = "manual",
    read_only: Annotated[bool, Parameter(help="The holder will not write.", negative="")] = False,
    wait: Annotated[bool, Parameter(help="Wait until it is attached, and print the NBD endpoint.")] = True,
    timeout: Timeout = 60.0,
    common: Common = DEFAULT,
) -> None:
    """Attach a volume at a node for a holder and print the NBD endpoint."""
    client = common.client()
    body = {"node": node, "mode": "ro" if read_only else "rw"}
    volume = client.call("PUT", _path(name, f"/attachments/{quoted(holder)}"), body)
    if wait:
        volume = _wait(client, name, ("attached",), timeout)
    _show(volume, common, volume["endpoint"] or f"volume {name}: {volume['state']}")


def detach(
    name: str,
    /,
    *,
    holder: Holder = "manual",
    wait: Annotated[bool, Parameter(help="Wait until it is confirmed that the volume is detached.")] = True,
    timeout: Timeout = 60.0,
    common: Common = DEFAULT,
) -> None:
    """Let go of a volume. "detached" is said only once it is confirmed."""
    client = common.client()
    volume = client.call("DELETE", _path(name, f"/attachments/{quoted(holder)}"))
    if wait and not volume["attachments"]:
        volume = _wait(client, name, ("detached",), timeout)
    others = ", ".join(a["holder"] for a in volume["attachments"])
    _show(
        volume, common, f"volume {name}: {volume['state']}" + (f"; still held by {others}" if others else "")
    )


def history(name: str, /, *, common: Common = DEFAULT) -> None:
    """Every transition of a volume with its cause."""
    client = common.client()
    events: list[dict[str, Any]] = []
    after = 0
    while (page := client.call("GET", _path(name, f"/history?after={after}")))["events"]:
        events += page["events"]
        after = page["last"]
    if common.json:
        render.show_json({"events": events})
    else:
        for event in events:
            print(render.event_line(event))


def explain(name: str, /, *, common: Common = DEFAULT) -> None:
    """Why a volume is as it is, and what happens next."""
    answer = common.client().call("GET", _path(name, "/explain"))
    if common.json:
        render.show_json(answer)
        return
    print(f"{name}: {answer['state']} {answer['health'] or ''}".rstrip())
    for title, lines in (
        ("because", answer["reasons"]),
        ("resync", [render.resync(resync) for resync in answer["resyncs"]]),
        ("waits", _new_waits(answer)),
        ("next", answer["intents"]),
    ):
        for line in lines:
            print(f"  {title}: {line}")
    if not (answer["reasons"] or answer["waits"] or answer["intents"]):
        print("  at rest: nothing is wanted that is not so")


def expand(name: str, /, *, size: str, common: Common = DEFAULT) -> None:
    """Make a volume larger. Not possible yet: it is refused."""
    volume = common.client().call("PATCH", _path(name), {"size": _size(size)})
    _show(volume, common, f"volume {name}: {format_size(volume['size'])}")


def _new_waits(answer: dict[str, Any]) -> list[str]:
    """The waits that say more than the reasons did."""
    said = {f"{answer['name']}: {reason}" for reason in answer["reasons"]}
    return [wait for wait in answer["waits"] if wait not in said]


def _path(name: str, rest: str = "") -> str:
    return f"/v1/volumes/{quoted(name)}{rest}"


def _show(value: dict[str, Any], common: Common, line: str) -> None:
    if common.json:
        render.show_json(value)
    else:
        print(line)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise Invalid(str(error)) from None


def _count(text: str) -> int:
    if not text.lstrip("-").isdecimal():
        raise Invalid(f"--replicas takes a number or auto, not {text!r}")
    return int(text)


def _wait(client: Client, name: str, states: tuple[str, ...], timeout_s: float) -> dict[str, Any]:
    """Wait for a state, saying what for whenever that changes. Raises `NotNow` when the time is over."""
    end = _CLOCK.monotonic_s() + timeout_s
    told: list[str] = []
    while True:
        step_s = max(0.0, min(WAIT_STEP_S, end - _CLOCK.monotonic_s(), 2.0 if not told else WAIT_STEP_S))
        query = f"?until={states[0]}&wait_s={step_s:.3f}"
        volume: dict[str, Any] = client.call("GET", _path(name, query), timeout_s=step_s + 10)
        if volume["state"] in states:
            return volume
        if volume["reasons"] != told and sys.stderr.isatty():
            told = volume["reasons"]
            print(f"{volume['state']}: {'; '.join(told)}", file=sys.stderr)
        if _CLOCK.monotonic_s() >= end:
            reasons = "; ".join(volume["reasons"]) or "no reason is known"
            raise NotNow(f"volume {name} is still {volume['state']} after {timeout_s:g} s: {reasons}")


def _wait_gone(client: Client, name: str, timeout_s: float) -> None:
    """Until none of this name is being deleted. Raises `NotNow` when the time is over."""
    end = _CLOCK.monotonic_s() + timeout_s
    while any(
        v["name"] == name and v["state"] == "deleting" for v in client.call("GET", "/v1/volumes")["volumes"]
    ):
        left_s = end - _CLOCK.monotonic_s()
        if left_s <= 0:
            raise NotNow(
                f"volume {name} is still being deleted after {timeout_s:g} s; `volume explain {name}` says why"
            )
        try:
            client.call("GET", _path(name, f"?until=gone&wait_s={min(left_s, 1.0):.3f}"))
        except Refusal as refusal:
            if refusal.problem_code != NotFound.code:
                raise
            # Gone: the list, asked next, says the same.
