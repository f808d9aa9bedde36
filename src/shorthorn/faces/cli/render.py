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
            v["health"] or "-",
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
    print(f"endpoint  {volume['endpoint'] or '-'}")
    for a in volume["attachments"]:
        print(f"holder    {a['holder']} on {a['node']} ({a['mode']})")
    rows = [
        (r["node"], r["id"], r["phase"], r["seen"], format_size(r["used"]), r["leaving"])
        for r in volume["replicas"]
    ]
    show_table(("NODE", "REPLICA", "PHASE", "SEEN", "USED", "LEAVING"), rows, "no replica is placed yet")
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
                "cordoned" if node["cordoned"] else "yes",
                node["eviction"] or "-",
                str(sum(d["replicas"] for d in disks)),
                format_size(sum(d["committed"] for d in disks)),
                format_size(sum(d["size"] for d in disks)),
            )
        )
    show_table(columns, rows, "no nodes; start some with `shorthorn up`")


def show_node(node: dict[str, Any]) -> None:
    """Everything about one node."""
    scheduling = "cordoned" if node["cordoned"] else "schedulable"
    print(
        f"{node['name']}: {node['reach']}, {scheduling}{', evicting: ' + node['eviction'] if node['eviction'] else ''}"
    )
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


def event_line(event: dict[str, Any]) -> str:
    """One journal line."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    return f"{event['number']:>6}  {at}  {event['name']:<12}  {event['line']}  [{event['cause']}]"


def _replica_nodes(volume: dict[str, Any]) -> str:
    parts = []
    for replica in volume["replicas"]:
        mark = "" if replica["phase"] == "in_sync" else " (syncing)"
        parts.append(replica["node"] + mark + (" (leaving)" if replica["leaving"] else ""))
    return f"{len(volume['replicas'])}/{volume['replicas_wanted']}: {', '.join(parts) or '-'}"


def _task(task: dict[str, Any]) -> str:
    share = f"{100 * task['done'] // task['total']} %" if task["total"] else "0 %"
    return f"{task['kind']} on {task['place']}: {task['state']}, {share} ({format_size(task['done'])})"
