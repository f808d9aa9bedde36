"""How the command line shows things: tables for people, JSON for programs. Decides nothing."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

from shorthorn.core.model.units import format_size

Output = Literal["text", "json"]


def show_json(value: object) -> None:
    """One JSON value."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table, plain when standard output is no terminal; `empty` when there is no row."""
    if not rows:
        print(empty)
        return
    widths = [max(len(column), *(len(row[i]) for row in rows)) for i, column in enumerate(columns)]
    for line in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_volumes(volumes: Sequence[dict[str, Any]]) -> None:
    """One line a volume, and below it why it is not at rest."""
    columns = ("NAME", "SIZE", "STATE", "HEALTH", "NODE", "REPLICAS")
    rows = [
        (
            v["name"],
            format_size(v["size"]),
            v["state"],
            _health(v),
            v["node"] or "-",
            _replica_nodes(v),
        )
        for v in volumes
    ]
    show_table(columns, rows, "no volumes; make one with `shorthorn volume create NAME --size 10GiB`")


def show_volume(volume: dict[str, Any]) -> None:
    """Everything about one volume."""
    health = f" {volume['health']}" if volume["health"] else ""
    print(f"{volume['name']}: {volume['state']}{health}, {format_size(volume['size'])}")
    for reason in volume["reasons"]:
        print(f"  {reason}")
    print(f"uid       {volume['uid']}")
    print(
        f"epoch     {volume['epoch']}   membership {volume['m']}   settled {'yes' if volume['settled'] else 'no'}"
    )
    print(f"reads     {volume['reads']}")
    print(f"endpoint  {volume['endpoint'] or '-'}")
    for a in volume["attachments"]:
        print(f"holder    {a['holder']} on {a['node']} ({a['mode']})")
    rows = [
        (r["node"], r["id"], r["phase"].replace("_", "-"), r["seen"], format_size(r["used"]), r["leaving"])
        for r in volume["replicas"]
    ]
    show_table(("NODE", "REPLICA", "PHASE", "SEEN", "USED", "LEAVING"), rows, "no replica is placed yet")
    for each in volume["resyncs"]:
        print(f"resync    {resync(each)}")
    for task in volume["tasks"]:
        print(f"task      {_task(task)}")


def show_nodes(nodes: Sequence[dict[str, Any]]) -> None:
    """One line a node."""
    columns = ("NAME", "REACH", "SCHEDULING", "EVICTION", "REPLICAS", "COMMITTED", "SIZE")
    rows = []
    for node in nodes:
        disks = node["disks"]
        rows.append(
            (
                node["name"],
                f"dead ({node['dead']})" if node["dead"] else node["reach"],
                _scheduling(node, "yes", "no"),
                node["eviction"] or "-",
                str(sum(d["replicas"] for d in disks)),
                format_size(sum(d["committed"] for d in disks)),
                format_size(sum(d["size"] for d in disks)),
            )
        )
    show_table(columns, rows, "no nodes; start some with `shorthorn up`")


def show_node(node: dict[str, Any]) -> None:
    """Everything about one node."""
    scheduling = _scheduling(node, "schedulable", "not schedulable")
    print(
        f"{node['name']}: {node['reach']}, {scheduling}{', evicting: ' + node['eviction'] if node['eviction'] else ''}"
    )
    if node["dead"]:
        print(f"  declared dead by {node['dead_by']}: {node['dead']}")
    for line in node["eviction_lines"]:
        print(f"  {line}")
    rows = [
        (
            d["uid"],
            format_size(d["size"]),
            format_size(d["committed"]),
            format_size(d["free"]),
            str(d["replicas"]),
            d["trouble"] or "-",
        )
        for d in node["disks"]
    ]
    show_table(("DISK", "SIZE", "COMMITTED", "FREE", "REPLICAS", "TROUBLE"), rows, "no disks")


def show_settings(settings: Sequence[dict[str, Any]]) -> None:
    """One line a setting; those that can't be changed say why."""
    rows = [
        (
            s["name"],
            setting_value(s["value"]),
            setting_value(s["default"]),
            s["meaning"] + (f"; can't be changed: {s['fixed']}" if s["fixed"] else ""),
        )
        for s in settings
    ]
    show_table(("NAME", "VALUE", "DEFAULT", "MEANING"), rows, "no settings")


def setting_value(value: float | None) -> str:
    """A setting's value in words."""
    return "forever" if value is None else f"{value:.10g}"


def resync(resync: dict[str, Any]) -> str:
    """How far the resync of a replica is, how long it will take, or what it waits for."""
    name = f"replica {resync['replica']} on {resync['node']}"
    parts = [_share(resync)] if resync["total"] else []
    if resync["waits_for"]:
        parts.append(f"waits for {resync['waits_for']}")
    elif resync["left_s"] is not None:
        parts.append(f"about {_duration(resync['left_s'])} left")
    elif resync["total"]:
        parts.append("how long it takes is not known yet")
    return f"{name}: {', '.join(parts) or 'under way'}"


def event_line(event: dict[str, Any]) -> str:
    """One journal line."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    cause = "" if event["cause"] in event["line"] else f"  [{event['cause']}]"
    return f"{event['number']:>6}  {at}  {event['name']:<12}  {event['line']}{cause}"


def _replica_nodes(volume: dict[str, Any]) -> str:
    parts = []
    for replica in volume["replicas"]:
        mark = "" if replica["phase"] == "in_sync" else " (syncing)"
        parts.append(replica["node"] + mark + (" (leaving)" if replica["leaving"] else ""))
    return f"{len(volume['replicas'])}/{volume['replicas_wanted']}: {', '.join(parts) or '-'}"


def _scheduling(node: dict[str, Any], yes: str, no: str) -> str:
    """Whether anything new is placed there."""
    if node["dead"]:
        return no
    return "cordoned" if node["cordoned"] else yes


def _task(task: dict[str, Any]) -> str:
    share = f"{100 * task['done'] // task['total']} %" if task["total"] else "0 %"
    return f"{task['kind']} on {task['place']}: {task['state']}, {share} ({format_size(task['done'])})"


def _health(volume: dict[str, Any]) -> str:
    """With the share of the resync that has the furthest to go."""
    shares = [100 * r["done"] // r["total"] for r in volume["resyncs"] if r["total"]]
    return (volume["health"] or "-") + (f" ({min(shares)} % resynced)" if shares else "")


def _share(progress: dict[str, Any]) -> str:
    done, total = progress["done"], progress["total"]
    return f"{100 * done // total} % ({format_size(done)} of {format_size(total)})"


def _duration(seconds: float) -> str:
    """Not more exact than it is."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
