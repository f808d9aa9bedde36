"""The replica program: serves the replicas of one disk to engines and copiers, until it is stopped.

Goes on serving while the agent is away. Exit codes as the real one's: 0 stopped, 1 could not start, 2 wrong command line.
Source: crates/shorthorn-replica (`main`, `start`, `program`, `listener`, `connection`, `orders`).
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, TypeAlias

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import DiskError, Reply, Request
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.network import Endpoint
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.agent_link import AgentLink, Owner
from shorthorn.sim.programs.drive import FOLDER, Drive
from shorthorn.sim.programs.fences import FenceError, Fences
from shorthorn.sim.programs.keepalive import KeepAlive
from shorthorn.sim.programs.peers import FRAME_BYTES
from shorthorn.sim.programs.reports import Reports
from shorthorn.sim.programs.slot import Outbox
from shorthorn.sim.programs.start import (
    START_FAILED,
    USAGE,
    StartError,
    UsageError,
    on_sigterm,
    options,
    take_lock,
)
from shorthorn.sim.programs.store import OrderError, Settings, Store
from shorthorn.sim.programs.surroundings import Log, Surroundings
from shorthorn.sim.programs.tasks import PATIENCE, Tasks

STOPPED: Final = 0
HELLO_TIMEOUT_S: Final = 10.0
"""Who has not said hello by then is not one of us."""

OPTIONS: Final = ("--disk", "--disk-uid", "--cluster", "--boot-id", "--agent")


Message: TypeAlias = bytes | tuple[int, Request]
"""A request as its peer sends it: in a frame, or as it is."""


class _Hello(msgspec.Struct):
    replica: str
    engine: str


async def run(process: Process, around: Surroundings, log: Log, arguments: Sequence[str]) -> int:
    """The program's main."""
    try:
        given = options(arguments, OPTIONS, optional=("--listen",))
    except UsageError as error:
        log.fault(f"shorthorn-replica: {error}")
        return USAGE
    settings = Settings(*(given[name] for name in OPTIONS))
    try:
        lock = take_lock(ProcessFiles(process), PurePosixPath(settings.disk) / "replica.lock")
        drive = around.drive(process.machine.name, settings.disk)
        _prepare(drive, settings.boot)
        program = Program(process, around, log, settings, drive)
    except (StartError, DiskError, OSError) as error:
        log.fault("could not start", why=error)
        return START_FAILED
    why = await program.run()
    log.info("stopping", why=why)
    program.shut_down()
    lock.release()
    return STOPPED


def _prepare(drive: Drive, boot: str) -> None:
    """The folder that holds the replicas; made if the disk is new."""
    sim = drive.open_for(boot)
    if f"{FOLDER.removeprefix('/')}/" not in sim.names("/"):
        sim.create_dir(FOLDER)
        sim.sync_dir("/")


class Program:
    """What runs between start and end."""

    def __init__(
        self, process: Process, around: Surroundings, log: Log, settings: Settings, drive: Drive
    ) -> None:
        self._process, self._around, self._log = process, around, log
        self._reports = Reports(process.loop)
        self._store = Store(settings, drive, process.loop, log, self._reports.replicas_changed)
        self._reports.held, self._reports.looked = self._store.held, self._look
        self._tasks = Tasks(process, around, log, self._reports)
        self._fences = Fences(self._store, self._reports, process.loop, log)
        self._stop: asyncio.Future[str] = process.loop.create_future()
        self._stop_when_closed = False
        self._orders: asyncio.Queue[tuple[int, lines.ToProgram]] = asyncio.Queue()
        self._endpoints: dict[int, Endpoint] = {}
        address = around.network.listen(
            process, f"replica-{settings.disk_uid}-{process.pid}", self._connected
        )
        hello = lines.ReplicaHello(
            wire=lines.WIRE_VERSION, disk=settings.disk_uid, address=address, pid=process.pid
        )
        owner = Owner(
            up=self._reports.link_up,
            taken=lambda order: self._orders.put_nowait((self._reports.link, order)),
            down=self._reports.link_down,
        )
        self._agent = AgentLink(process, around, log, settings.agent, hello, owner)
        self._reports.say = self._agent.say
        on_sigterm(process, lambda: self._end("SIGTERM"))
        log.info("serving", disk=settings.disk_uid, address=address, replicas=len(self._store.held()))

    async def run(self) -> str:
        """Until it is to stop; why."""
        self._agent.dial()
        orders = self._process.loop.create_task(self._take_orders())
        try:
            return await self._stop
        finally:
            orders.cancel()

    def shut_down(self) -> None:
        """End all connections and make everything durable."""
        self._store.shut_down()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._agent.hang_up()

    def _end(self, why: str) -> None:
        if not self._stop.done():
            self._stop.set_result(why)

    def _look(self) -> None:
        """Something changed: perhaps no session is open now."""
        if self._stop_when_closed and not self._store.any_open:
            self._end("told by the agent, and nothing is open")

    # Connections of engines and copiers.

    def _connected(self, endpoint: Endpoint) -> None:
        conn = self._store.next_conn()
        timer = self._process.loop.call_later(HELLO_TIMEOUT_S, self._no_hello, conn)
        self._endpoints[conn] = endpoint
        endpoint.on_end = lambda why: self._gone(conn, why)

        def first(message: Message) -> None:
            timer.cancel()
            self._greet(conn, endpoint, *_decoded(message))

        endpoint.on_message = first

    def _no_hello(self, conn: int) -> None:
        endpoint = self._endpoints.pop(conn, None)
        if endpoint is not None and not endpoint.closed:
            self._log.warn("connection given up", conn=conn, why="no hello in time")
            endpoint.close()

    def _gone(self, conn: int, why: str) -> None:
        if self._endpoints.pop(conn, None) is not None:
            self._log.info("disconnected", conn=conn, why=why)

    def _greet(self, conn: int, endpoint: Endpoint, tag: int, request: Request) -> None:
        if request.kind != "hello":
            self._log.warn("connection given up", conn=conn, why="the first message is no hello")
            self._close(conn)
            return
        hello = msgspec.json.decode(request.json or b"", type=_Hello)
        send = self._sender(endpoint)
        try:
            slot = self._store.find(hello.replica)
            slot.join(conn, Outbox(send, lambda: self._close(conn)))
        except OrderError as error:
            self._log.info("hello refused", conn=conn, why=error)
            send(tag, Reply.unknown(str(error)))
            self._close(conn)
            return
        self._log.info("connected", replica=slot.name, conn=conn, engine=hello.engine)

        def gone(why: str) -> None:
            self._gone(conn, why)
            slot.leave(conn)

        endpoint.on_end = gone
        KeepAlive(self._around.network, endpoint, PATIENCE, gone)
        if self._around.coded:
            endpoint.on_message = lambda message: slot.ask(conn, *_decoded(message))
        else:
            ask = slot.ask
            endpoint.on_message = lambda message: ask(conn, message[0], message[1])
        slot.ask(conn, tag, request)

    def _close(self, conn: int) -> None:
        endpoint = self._endpoints.pop(conn, None)
        if endpoint is not None:
            endpoint.close()

    def _sender(self, endpoint: Endpoint) -> Callable[[int, Reply], object]:
        if self._around.coded:

            def send_coded(tag: int, reply: Reply) -> None:
                frame = reply.encode(tag)
                endpoint.send(frame, len(frame))

            return send_coded

        def send(tag: int, reply: Reply) -> None:
            endpoint.send((tag, reply), FRAME_BYTES + reply.payload)

        return send

    # Orders of the agent, one at a time.

    async def _take_orders(self) -> None:
        while True:
            link, order = await self._orders.get()
            try:
                await self._take(link, order)
            except (OrderError, FenceError, DiskError) as error:
                number = getattr(order, "id", 0)
                self._log.warn("an order was not carried out", id=number, why=error)
                self._reports.answer(link, number, str(error))

    async def _take(self, link: int, order: lines.ToProgram) -> None:
        match order:
            case lines.Create(id=number):
                await self._store.create(order)
                self._reports.answer(link, number)
            case lines.Delete(id=number):
                await self._store.delete(order)
                self._reports.answer(link, number)
            case lines.List(id=number):
                self._reports.answer(link, number, None, self._store.held())
            case lines.Probe(id=number, replica=replica):
                self._reports.answer(link, number, None, (self._store.find(replica).held(),))
            case lines.Fence():
                self._fences.start(link, order)
            case lines.Copy(order=copy):
                self._tasks.start(copy)
            case lines.CancelTask(task=task):
                self._tasks.cancel(task)
            case lines.TaskCommitted(task=task, document=document):
                self._tasks.committed(task, document)
            case lines.Stop():
                self._log.info("told to stop")
                self._stop_when_closed = True
                self._look()
            case _:
                self._log.warn("an order for an engine was ignored")


def _decoded(message: Message) -> tuple[int, Request]:
    """Tag and request."""
    if not isinstance(message, bytes):
        return message[0], message[1]
    decoded = Request.decode(message)
    if decoded is None or decoded[2]:
        raise AssertionError("a frame is not one whole message")
    return decoded[0], decoded[1]
