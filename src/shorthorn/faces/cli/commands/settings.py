"""`shorthorn setting …`: the cluster's settings."""

import math
from typing import Any

from cyclopts import App

from shorthorn.errors import Invalid
from shorthorn.faces.cli import render
from shorthorn.faces.cli.client import quoted
from shorthorn.faces.cli.options import DEFAULT, Common

FOREVER = "forever"


def add(app: App) -> None:
    """Add the group."""
    group = App(name="setting", help="Settings of the cluster: list, set.")
    for command in (list_, set_):
        group.command(command, name=command.__name__.rstrip("_"))
    app.command(group)


def list_(*, common: Common = DEFAULT) -> None:
    """All settings, with their defaults and what they mean."""
    answer = common.client().call("GET", "/v1/settings")
    if common.json:
        render.show_json(answer)
    else:
        render.show_settings(answer["settings"])


def set_(name: str, value: str, /, *, common: Common = DEFAULT) -> None:
    """Change a setting, at once. An engine that runs keeps the values that it was started with, until its session ends.

    VALUE is a number, in the unit that `setting list` names, or `forever` where that is possible.
    """
    body = {"value": None if value == FOREVER else _number(name, value)}
    setting: dict[str, Any] = common.client().call("PATCH", f"/v1/settings/{quoted(name)}", body)
    if common.json:
        render.show_json(setting)
    else:
        print(f"{name} is {render.setting_value(setting['value'])}")


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):  # JSON has none of those
        raise Invalid(f"{name} takes a number, not {text!r}")
    return number
