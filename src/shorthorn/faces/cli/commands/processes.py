"""`shorthorn up`, `down`, `server`, `node --join`: the processes of a cluster."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.units import parse_size
from shorthorn.errors import Invalid
from shorthorn.faces.cli.client import default_data

if TYPE_CHECKING:
    from shorthorn.agent.options import DiskOption

DataFolder = Annotated[Path | None, Parameter(help="Data folder; else SHORTHORN_DATA, else the user's own.")]
Listen = Annotated[str, Parameter(help="HOST:PORT of the API; port 0 takes a free one.")]
InsecureNetwork = Annotated[
    bool,
    Parameter(help="Listen beyond loopback, without authentication: for test namespaces only.", negative=""),
]


def add(app: App) -> None:
    """Add the commands; `node` is added by `nodes`, as the default of its group."""
    for command in (up, down, server):
        app.command(command)


def up(
    *,
    nodes: int = 3,
    data: DataFolder = None,
    listen: Listen = "127.0.0.1:7420",
    disk_size: Annotated[str | None, Parameter(help="What may be committed on each node's disk.")] = None,
) -> None:
    """Run a cluster on this machine, in the foreground. Ctrl-C closes all sessions cleanly and ends every program.

    If it is killed the programs run on, and the next `up` takes them over.
    """
    from shorthorn.embedded import ClusterOptions, run_cluster  # noqa: PLC0415 - the client commands need none of it

    _log()
    host, port = _address(listen)
    options = ClusterOptions(
        data=_data(data),
        nodes=nodes,
        host=host,
        port=port,
        disk_size=None if disk_size is None else _size(disk_size),
    )
    asyncio.run(run_cluster(options, _say))


def down(*, data: DataFolder = None) -> None:
    """End the cluster of this data folder: close all sessions cleanly, then end every program."""
    from shorthorn.embedded import end_cluster  # noqa: PLC0415 - see `up`

    _log()
    asyncio.run(end_cluster(_data(data), _say))


def server(
    *,
    data: DataFolder = None,
    listen: Listen = "127.0.0.1:7420",
    insecure_network: InsecureNetwork = False,
) -> None:
    """Run the server: API, control loop and store."""
    from shorthorn.serve import ServerOptions, run_server  # noqa: PLC0415 - see `up`

    _log()
    host, port = _address(listen)
    asyncio.run(
        run_server(ServerOptions(data=_data(data), host=host, port=port, insecure_network=insecure_network))
    )


def node(  # noqa: PLR0913 - the options of one command
    *,
    join: Annotated[str, Parameter(help="URL of the server.")],
    name: Annotated[str, Parameter(help="Name of this node.")],
    data: DataFolder = None,
    disk: Annotated[
        tuple[str, ...], Parameter(help="A disk as NAME=FOLDER[:SIZE]; default: d1 in the data folder.")
    ] = (),
    disk_size: Annotated[str | None, Parameter(help="What may be committed on the default disk.")] = None,
    label: Annotated[tuple[str, ...], Parameter(help="A label as KEY=VALUE.")] = (),
    listen: Annotated[
        str, Parameter(help="HOST:PORT of replica programs; port 0 takes a free one.")
    ] = "127.0.0.1:0",
    machine_id: Annotated[str | None, Parameter(help="Stands for the machine's own.")] = None,
    boot_id: Annotated[
        str | None, Parameter(help="Stands for the machine's own; another one stands for a reboot.")
    ] = None,
    insecure_network: InsecureNetwork = False,
) -> None:
    """Run the agent of a node, in the foreground."""
    from shorthorn.agent.options import DiskOption  # noqa: PLC0415 - see `up`
    from shorthorn.node import NodeOptions, run_node  # noqa: PLC0415

    _log()
    folder = _data(data)
    host, _port = _address(listen)
    if not insecure_network and host not in ("127.0.0.1", "::1", "localhost"):
        raise Invalid(f"{host} is not a loopback address, and this version has no authentication")
    if insecure_network:
        logging.getLogger(__name__).warning(
            "INSECURE NETWORK: anybody who reaches the replica programs at %s may read and write all replicas",
            host,
        )
    disks = [_disk(text) for text in disk]
    if not disks and disk_size is not None:
        disks = [DiskOption(name="d1", path=folder / "nodes" / name / "disks" / "d1", size=_size(disk_size))]
    asyncio.run(
        run_node(
            NodeOptions(
                server=join,
                node=NodeName(name),
                data=folder,
                disks=tuple(disks),
                labels=tuple(sorted(_pair(text) for text in label)),
                machine_id=machine_id,
                boot_id=boot_id,
                listen=listen,
            )
        )
    )


def _disk(text: str) -> "DiskOption":
    from shorthorn.agent.options import DiskOption  # noqa: PLC0415 - see `up`

    name, rest = _pair(text)
    folder, _, size = rest.partition(":")
    return DiskOption(name=name, path=Path(folder), size=_size(size) if size else None)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator and value):
        raise Invalid(f"{text!r} is not KEY=VALUE")
    return key, value


def _data(data: Path | None) -> Path:
    return (data or default_data()).absolute()


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise Invalid(str(error)) from None


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise Invalid(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _say(line: str) -> None:
    print(line, flush=True)


def _log() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
