"""`shorthorn events`, `status`, `check`: the cluster as a whole."""

from typing import Annotated

from cyclopts import App, Parameter

from shorthorn.errors import NotNow
from shorthorn.faces.cli import render
from shorthorn.faces.cli.options import DEFAULT, Common

CHECK_S = 3
"""What is under way looks like a difference for a moment: one that stays for so long is one."""


def add(app: App) -> None:
    """Add the commands."""
    for command in (events, status, check):
        app.command(command)


def events(
    *,
    follow: Annotated[bool, Parameter(help="Go on with what comes.")] = False,
    after: Annotated[int, Parameter(help="Only those with a greater number.")] = 0,
    common: Common = DEFAULT,
) -> None:
    """The journal: every transition with its cause."""
    client = common.client()
    lines: list[dict[str, object]] = []
    while (page := client.call("GET", f"/v1/events?after={after}"))["events"]:
        after = page["last"]
        if common.json and not follow:
            lines += page["events"]
        else:
            for event in page["events"]:
                _print(event, common)
    if common.json and not follow:
        render.show_json({"events": lines, "last": after})
    if follow:
        for event in client.stream(f"/v1/watch?after={after}"):
            _print(event, common)


def status(*, common: Common = DEFAULT) -> None:
    """The cluster in a few lines."""
    answer = common.client().call("GET", "/v1/status")
    if common.json:
        render.show_json(answer)
        return
    print(
        f"cluster {answer['cluster']}, version {answer['version']}, {answer['journal_end']} journal entries"
    )
    if answer["insecure_network"]:
        print("INSECURE NETWORK: the API and replication listen beyond loopback without authentication")
    for title in ("nodes", "volumes", "health"):
        counts = ", ".join(f"{count} {state}" for state, count in answer[title].items())
        print(f"{title:<8} {counts or 'none'}")
    for wait in answer["waits"]:
        print(f"waits    {wait}")


def check(*, common: Common = DEFAULT) -> None:
    """What is recorded against what runs, and every invariant. Exit code 1 when they differ.

    Tells only what stays for three seconds: a program that is just starting is no difference.
    """
    answer = common.client().call("GET", f"/v1/check?wait_s={CHECK_S}")
    if common.json:
        render.show_json(answer)
    else:
        for line in answer["findings"]:
            print(f"differs: {line}")
        for line in answer["unknown"]:
            print(f"unknown: {line}")
        if not answer["findings"]:
            print("no difference between what is recorded and what runs")
    if answer["findings"]:
        raise NotNow(f"{len(answer['findings'])} differences between what is recorded and what runs")


def _print(event: dict[str, object], common: Common) -> None:
    if common.json:
        render.show_json(event)
    else:
        print(render.event_line(event), flush=True)
