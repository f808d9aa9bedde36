"""Puts one server together: store, control, API, one process. Decides nothing."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import uvicorn

from shorthorn.control.control import Control
from shorthorn.errors import Invalid, NotNow, Unavailable
from shorthorn.faces.api.app import BoundedProtocol, build_app
from shorthorn.links.local_files import FileLock
from shorthorn.ports.clock import SystemClock
from shorthorn.ports.ids import RandomIds
from shorthorn.store import SqliteStore
from shorthorn.version import VERSION

log = logging.getLogger(__name__)

SHUTDOWN_S = 2
"""Open streams get this long; without a bound uvicorn would wait for them for ever."""


DEAD_PEER_S = 18
"""A peer that acknowledges nothing for so long is gone: three times the silence after which an agent gives up itself."""

LISTEN_BACKLOG = 512
"""Connections that wait while the server starts: it listens before its address is told to anybody."""


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`data`: the server's folder, made when missing. `insecure_network`: listen beyond loopback, without authentication."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 7420
    insecure_network: bool = False


async def run_server(options: ServerOptions) -> None:
    """Serve until cancelled or told to stop by SIGINT or SIGTERM; then the store is closed and nothing is left behind."""
    stop = _stop_signal()
    with _only_one(options.data), listen(options) as listener, _address_file(options, listener):
        store = SqliteStore(options.data / "store.sqlite")
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            control = await Control.open(store, SystemClock(), RandomIds())
            await stack.enter_async_context(_running(control))
            app = build_app(control, VERSION, insecure_network=options.insecure_network)
            config = uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_S,
                timeout_keep_alive=30,
                lifespan="off",
            )
            log.info("server of cluster %s listens on %s", control.settings.cluster, url_of(listener))
            if options.insecure_network:
                log.warning("INSECURE NETWORK: anybody who reaches %s may do anything", url_of(listener))
            await _serve(_Server(config), listener, stop)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises a signal anew when it has served, which ends the process on the spot."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _serve(server: uvicorn.Server, listener: socket.socket, stop: asyncio.Event) -> None:
    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as tasks:
        ender = tasks.create_task(end(), name="end of the server")
        await server.serve(sockets=[listener])
        ender.cancel()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def listen(options: ServerOptions) -> socket.socket:
    """The listening socket. Raises `Invalid` for an address beyond loopback, `Unavailable` for one in use."""
    if not options.insecure_network and options.host not in ("127.0.0.1", "::1", "localhost"):
        raise Invalid(
            f"{options.host} is not a loopback address, and this version has no authentication: "
            "listen on 127.0.0.1, or say --insecure-network in a test network"
        )
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _end_dead_peers(listener)
    try:
        listener.bind((options.host, options.port))
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another port with --listen"
        ) from error
    return listener


def _end_dead_peers(listener: socket.socket) -> None:
    """Connections that are taken inherit these: one whose peer does not answer, or does not read, ends after a bound.

    Without it a stream of orders to a machine that lost its power would live for a quarter of an hour, the kernel's own
    patience; an idle connection for ever. Source: tcp(7), TCP_USER_TIMEOUT and the keepalive options.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(DEAD_PEER_S * 1000))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_S // 2)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER_S // 6)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def url_of(listener: socket.socket) -> str:
    """The URL under which the listener is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """One server a data folder, for as long as it runs."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock.take(data / "server.lock")
    if lock is None:
        raise NotNow(f"another server runs on {data}; end it first, or choose another folder with --data")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _address_file(options: ServerOptions, listener: socket.socket) -> Iterator[None]:
    """`server.json` in the data folder tells the CLI where the server is, for as long as it runs."""
    path = options.data / "server.json"
    text = json.dumps({"url": url_of(listener), "pid": os.getpid(), "version": VERSION})
    new = path.with_suffix(".new")
    new.write_text(text + "\n", "ascii")
    new.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if json.loads(path.read_text("ascii")).get("pid") == os.getpid():
                path.unlink()


@contextlib.asynccontextmanager
async def _running(control: Control) -> AsyncIterator[None]:
    """The control plane's tasks, ended with the block; if they end by themselves, so does the server."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(control.run(), name="control")
        await control.ready()
        try:
            yield
        finally:
            task.cancel()
