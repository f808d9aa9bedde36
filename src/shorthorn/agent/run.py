"""One agent: registers, follows its orders, has them carried out, reports. Read this first.

Everything runs in one asyncio loop. Whatever changes (an order, a program's line, an end) sets one event; `_act` then
looks at everything and does what `reconcile` says. Programs outlive the agent: being stopped or killed ends none.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import Final

from shorthorn.agent.asks import Asks
from shorthorn.agent.backoff import Backoff
from shorthorn.agent.disks import Disks
from shorthorn.agent.engines import CLOSE_SLACK_S, RETRY_S, Engines
from shorthorn.agent.node_folder import NodeFolder
from shorthorn.agent.options import AgentOptions
from shorthorn.agent.outside import Link, Outside, Server
from shorthorn.agent.program_links import ProgramLinks, Taker
from shorthorn.agent.reconcile import TellDisk, reconcile
from shorthorn.agent.reports import Reports
from shorthorn.agent.running import Running
from shorthorn.agent.sighting import sighting_of
from shorthorn.agent.stopping import end_all_engines, end_all_replica_programs
from shorthorn.agent.surroundings import Surroundings
from shorthorn.core.model.node import Disk as DiskRecord
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Damaged, ShorthornError, Unavailable
from shorthorn.links import program_lines as wire
from shorthorn.links.messages import Registered, Registration

log = logging.getLogger(__name__)

CLOSE_S: Final = 40.0
"""Bound on closing all engines when no settings are known yet: the default of `Settings.close_s` and some more."""


class _Stopped(Exception):
    """Ends the tasks of an agent."""


class Agent:
    """An agent of one node; `run` runs it until it is told to stop."""

    def __init__(self, options: AgentOptions, outside: Outside) -> None:
        self._options = options
        self._outside = outside
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._orders: NodeOrders | None = None
        self._end_programs = False
        self._closing = False
        self._disks: Disks | None = None
        self._engines: Engines | None = None
        self._reports: Reports | None = None

    def request_stop(self) -> None:
        """End the agent; every program runs on. May be called twice."""
        self._stop.set()

    def request_stop_all(self) -> None:
        """Close every session of the node cleanly, end every program, then the agent. Bounded.

        The server has to run until then, as have the replica programs of other nodes: where several agents stop, call
        `end_engines` of each first.
        """
        self._end_programs = True
        self._stop.set()

    def request_end_engines(self) -> None:
        """Begin `end_engines`, once; the agent goes on."""
        if self._engines is not None and not self._closing:
            self._around.group.create_task(self.end_engines(), name="end engines")

    async def end_engines(self) -> None:
        """Start no more engines and close those that run; those that take too long are killed, with a line saying so."""
        self._closing = True
        if self._engines is not None:
            await end_all_engines(self._engines, self._close_s)

    async def run(self) -> None:
        """Run until stopped. Raises a `ShorthornError` or `OSError`, with one clear line, when it can't."""
        options, outside = self._options, self._outside
        machine = outside.identity.read()
        folder = NodeFolder.open(options, outside.files, outside.ids)
        try:
            async with asyncio.TaskGroup() as group:
                around = Surroundings(
                    node=options.node,
                    folder=folder,
                    machine=machine,
                    programs=options.programs,
                    listen=options.listen,
                    files=outside.files,
                    processes=outside.processes,
                    clock=outside.clock,
                    group=group,
                    changed=self._look_again,
                )
                await self._run(around, outside.server)
        except BaseExceptionGroup as errors:
            _, others = errors.split(_Stopped)
            if others is not None:
                raise _first(others) from errors
            log.info("agent of %s stopped", options.node)
        finally:
            folder.close()

    async def _run(self, around: Surroundings, server: Server) -> None:
        group, folder = around.group, around.folder
        asks = Asks(server, group)
        engines = self._engines = Engines(around, asks.begin)
        disks = self._disks = Disks(around)
        reports = self._reports = Reports(server, self._sighting, lambda: self._join(server))
        self._around = around

        def ended(link: Link) -> None:
            asks.end(link)
            engines.unlink(link)
            disks.unlink(link)

        links = ProgramLinks(self._outside.socket, group, self._greet, ended)
        try:
            engines.find()
            if folder.node.cluster is not None:
                self._keep_disks()
            await links.listen(folder.socket)
            machine = around.machine
            log.info(
                "agent of %s runs, machine %s, boot %s", around.node, machine.machine_id, machine.boot_id
            )
            group.create_task(self._serve(server, reports))
            await self._stop.wait()
            if self._end_programs:
                await self.end_engines()
                await end_all_replica_programs(disks, self._close_s)
        finally:
            await links.close()
            engines.let_go()
            disks.let_go()
        raise _Stopped

    async def _serve(self, server: Server, reports: Reports) -> None:
        """Register, then report and follow orders for ever."""
        around = self._around
        known = around.folder.node.cluster is not None
        await self._join(server)
        if not known:
            self._keep_disks()
        around.group.create_task(reports.send())
        around.group.create_task(self._act())
        await self._follow(server)

    def _keep_disks(self) -> None:
        around, disks = self._around, self._disks
        cluster = around.folder.node.cluster
        if disks is None or cluster is None:
            raise AssertionError("disks are kept before their cluster is known")
        for disk in disks.all:
            around.group.create_task(disk.keep(cluster))

    async def _join(self, server: Server) -> None:
        """Register: at the start, and again when the server does not know this node or this boot of it."""
        registered = await self._register(server)
        self._around.folder.join(registered.cluster)

    async def _register(self, server: Server) -> Registered:
        """Wait for the server to take this node in. A refusal is for a person to see: it ends the agent."""
        around = self._around
        registration = Registration(
            node=around.node,
            machine_id=around.machine.machine_id,
            boot_id=around.machine.boot_id,
            disks=tuple(DiskRecord(uid=d.uid, size=d.size) for d in around.folder.node.disks),
            labels=self._options.labels,
            wire=wire.WIRE_VERSION,
        )
        backoff = Backoff()
        while True:
            try:
                registered = await server.register(registration)
            except Unavailable as error:
                if not backoff.failing:
                    log.warning("can't register: %s; trying on", error.message)
                await backoff.pause()
            else:
                log.info("registered with cluster %s", registered.cluster)
                return registered

    async def _follow(self, server: Server) -> None:
        """Take each line of orders as the whole truth about what is wanted."""
        backoff = Backoff()
        while True:
            try:
                async with aclosing(server.orders()) as stream:
                    async for orders in stream:
                        if backoff.failing:
                            log.info("orders come again")
                        backoff.succeeded()
                        self._take_orders(orders)
            except ShorthornError as error:
                if not backoff.failing:
                    log.warning("no orders: %s", error.message)
                await backoff.pause()

    def _take_orders(self, orders: NodeOrders) -> None:
        """Orders of another cluster or node are not ours to carry out."""
        around = self._around
        if orders.cluster != around.folder.node.cluster or orders.node != around.node:
            raise Damaged(f"orders for node {orders.node} of cluster {orders.cluster} came to {around.node}")
        if orders != self._orders:
            self._orders = orders
            self._look_again()

    async def _act(self) -> None:
        """Do what is to be done, whenever something changed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._orders is not None and not self._closing:
                self._carry_out(self._orders)

    def _carry_out(self, orders: NodeOrders) -> None:
        engines, disks = self._engines, self._disks
        if engines is None or disks is None:
            raise AssertionError("orders are carried out before the agent runs")
        for action in reconcile(orders, self._running()):
            if isinstance(action, TellDisk):
                disks.tell(action)
            else:
                try:
                    engines.carry_out(action, orders.cluster, orders.settings)
                except OSError as error:  # a full or failing file system of the node's own folder
                    log.error("%s failed, tried again soon: %s", type(action).__name__, error)  # noqa: TRY400 - one line
                    asyncio.get_running_loop().call_later(RETRY_S, self._look_again)
                    continue
            self._look_again()

    def _greet(self, hello: wire.Hello, link: Link) -> Taker | None:
        if self._engines is None or self._disks is None:
            return None
        if isinstance(hello, wire.EngineHello):
            return self._engines.greet(hello, link)
        return self._disks.greet(hello, link)

    @property
    def _close_s(self) -> float:
        """Bound on the close of an engine: its own, and some more."""
        return self._orders.settings.close_s + CLOSE_SLACK_S if self._orders else CLOSE_S

    def _look_again(self) -> None:
        self._changed.set()
        if self._reports is not None:
            self._reports.changed()

    def _running(self) -> Running:
        around = self._around
        return Running(
            node=around.node,
            machine_id=around.machine.machine_id,
            boot_id=around.machine.boot_id,
            disks=self._disks.views() if self._disks else (),
            engines=self._engines.views() if self._engines else (),
            last=self._engines.last if self._engines else {},
            held_back=self._engines.held_back if self._engines else {},
        )

    def _sighting(self) -> NodeSighting:
        return sighting_of(self._orders, self._running())


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group: one is enough for a person, all stand in its context."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
