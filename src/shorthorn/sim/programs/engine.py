"""The engine program: one session of one volume, from its order to its end, around the real core.

Exit codes as the real one's: 0 closed clean, 1 could not start, 2 wrong command line, 3 ended unclean.
Source: crates/shorthorn-engine (`main`, `start`, `session`, `session/effects`).
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native import _native as native
from shorthorn.native._native import EngineEvent
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.kernel import NS
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.agent_link import AgentLink, Owner
from shorthorn.sim.programs.device import Greeting
from shorthorn.sim.programs.door import Door
from shorthorn.sim.programs.keepalive import Patience
from shorthorn.sim.programs.peers import Peers
from shorthorn.sim.programs.start import (
    START_FAILED,
    USAGE,
    StartError,
    UsageError,
    on_sigterm,
    options,
    take_lock,
)
from shorthorn.sim.programs.status_report import StatusReport
from shorthorn.sim.programs.surroundings import Log, Surroundings

CLEAN: Final = 0
UNCLEAN: Final = 3

DIAL_LIMIT_S: Final = 3.0
"""A dial that takes longer has failed; the core tries again."""

UNSENT_PATIENCE: Final = 6
"""So many times the silence that the core bears with may pass until a connection ends by itself: the core decides first."""

KEEPALIVE_S: Final = (10.0, 5.0)
"""An idle connection is asked after so long, then so often."""

WAKE_SLACK_NS: Final = 1000
"""A timer comes so much late: more than a float of seconds is wrong by, so that it never comes early, again and again."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""Longest path of a unix socket."""

_order: msgspec.json.Decoder[lines.SessionOrder] = msgspec.json.Decoder(lines.SessionOrder)
_asks: msgspec.json.Decoder[lines.AskOpened | lines.AskLost | lines.AskSynced | lines.AskClosed] = (
    msgspec.json.Decoder(lines.AskOpened | lines.AskLost | lines.AskSynced | lines.AskClosed)
)
_encode: Final = msgspec.json.Encoder().encode


async def run(process: Process, around: Surroundings, log: Log, arguments: Sequence[str]) -> int:
    """The program's main."""
    try:
        given = options(arguments, ("--order", "--lock"))
    except UsageError as error:
        log.fault(f"shorthorn-engine: {error}")
        return USAGE
    files = ProcessFiles(process)
    try:
        lock = take_lock(files, PurePosixPath(given["--lock"]))
        session = _start(process, files, around, log, PurePosixPath(given["--order"]))
    except StartError as error:
        log.fault("could not start", why=error)
        return START_FAILED
    clean = await session.run()
    # Only now may somebody else conclude that this engine is dead.
    lock.release()
    return CLEAN if clean else UNCLEAN


def _start(
    process: Process, files: ProcessFiles, around: Surroundings, log: Log, path: PurePosixPath
) -> "Session":
    try:
        content = files.read(path)
    except OSError as error:
        raise StartError(f"order {path}: {error}") from error
    try:
        order = _order.decode(content)
    except msgspec.MsgspecError as error:
        raise StartError(f"order {path}: {error}") from error
    endpoint = PurePosixPath(order.endpoint)
    if len(f"{endpoint}.new".encode()) > SOCKET_PATH_BYTES_MAX:
        raise StartError(f"endpoint {endpoint}: longer than a unix socket's path may be")
    if not files.is_folder(endpoint.parent):
        raise StartError(f"endpoint {endpoint}: its folder does not exist")
    try:
        return Session(process, around, log, order, content)
    except native.OrderError as error:
        raise StartError(f"order {path}: {error}") from error


def _patience(order: lines.SessionOrder) -> Patience:
    return Patience(*KEEPALIVE_S, limit_s=UNSENT_PATIENCE * order.silence_ms / 1000)


class Session:
    """A session with all its connections."""

    def __init__(
        self, process: Process, around: Surroundings, log: Log, order: lines.SessionOrder, content: bytes
    ) -> None:
        """Prepares everything; nobody is connected to yet. Raises `OrderError`."""
        engine = f"e{order.epoch}-{around.chance('engine ids').getrandbits(64):016x}"
        self._loop = process.loop
        self._log = log
        self._core = native.Engine(content, engine)
        self._handle = self._core.handle
        self._wake: asyncio.TimerHandle | None = None
        self._unreachable: dict[int, str] = {}
        self._over: asyncio.Future[bool] = process.loop.create_future()
        self._peers = Peers(
            process, around, dial_limit_s=DIAL_LIMIT_S, patience=_patience(order), feed=self._feed_news
        )
        self._door = Door(
            process,
            around,
            log,
            Greeting(order.document.size, order.read_only),
            feed=self._feed,
            can_take=lambda: self._core.can_take,
            changed=self._tell_status,
        )
        hello = lines.EngineHello(
            wire=lines.WIRE_VERSION, volume=order.volume, epoch=order.epoch, engine=engine, pid=process.pid
        )
        owner = Owner(up=self._agent_connected, taken=self._take_line, down=lambda: None)
        self._agent = AgentLink(process, around, log, order.agent, hello, owner)
        self._status = StatusReport(
            process.loop,
            is_up=lambda: self._agent.is_up,
            clients=lambda: self._door.count,
            tell=self._agent.say,
        )
        self._effects: dict[type, Callable[[Any], object]] = {
            native.Send: self._send,
            native.ClientDone: self._door.answer,
            native.ClientData: self._door.answer,
            native.ClientExtents: self._door.answer,
            native.ClientRefused: self._door.answer,
            native.WakeAt: self._wake_at,
            native.Dial: lambda effect: self._peers.dial(effect.replica, effect.address),
            native.HangUp: lambda effect: self._peers.hang_up(effect.replica),
            native.Ask: self._ask,
            native.Serve: self._serve,
            native.StopServing: self._stop_serving,
            native.Status: self._note_status,
            native.Exit: self._exit,
        }
        on_sigterm(process, self._signalled)
        log.info(
            "session starts", volume=order.name, epoch=order.epoch, engine=engine, replicas=len(order.targets)
        )

    async def run(self) -> bool:
        """Until the session is over. Whether it closed clean."""
        self._agent.dial()
        self._feed(native.Start())
        clean = await self._over
        # Everything that was to be said is on its way.
        self._peers.hang_up_all()
        self._door.leave()
        self._agent.hang_up()
        return clean

    def _feed(self, event: EngineEvent) -> None:
        """One event to the core; does what it says."""
        if self._over.done():
            return
        effects = self._effects
        for effect in self._handle(int(self._loop.time() * NS), event):
            effects[type(effect)](effect)

    def _feed_news(
        self, event: native.Connected | native.Unreachable | native.Disconnected | native.Replied
    ) -> None:
        if type(event) is not native.Replied:
            self._log_news(event)
        self._feed(event)
        self._door.go_on()

    # What the core says.

    def _send(self, effect: native.Send) -> None:
        self._peers.send(effect.replica, effect.tag, effect.request)

    def _wake_at(self, effect: native.WakeAt) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._loop.call_at((effect.at_ns + WAKE_SLACK_NS) / NS, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._feed(native.Timer())

    def _ask(self, effect: native.Ask) -> None:
        ask = _asks.decode(effect.ask)
        if isinstance(ask, lines.AskOpened):
            # Who learns from the record that the session is open can connect at once.
            try:
                self._door.listen(ask.endpoint)
            except OSError as error:
                self._give_up_serving(ask.endpoint, error)
        if self._agent.is_up:
            self._log.info("asks the record", id=effect.ask_id, ask=effect.ask.decode())
        self._agent.say(lines.Ask(id=effect.ask_id, ask=ask))

    def _serve(self, effect: native.Serve) -> None:
        try:
            self._door.serve(effect.endpoint)
        except OSError as error:
            self._give_up_serving(effect.endpoint, error)
        else:
            self._log.info("serves", endpoint=effect.endpoint)

    def _give_up_serving(self, endpoint: str, error: OSError) -> None:
        self._log.fault("can't serve", endpoint=endpoint, why=error)
        self._loop.call_soon(self._feed, native.Close())

    def _stop_serving(self, effect: native.StopServing) -> None:
        self._log.info("stops serving", break_clients=effect.break_clients)
        self._door.stop(break_clients=effect.break_clients)
        self._status.tell_now()

    def _note_status(self, effect: native.Status) -> None:
        if self._status.note(effect):
            self._log.info(
                "status",
                phase=effect.phase,
                waits_for=effect.waits_for or "nothing",
                needed=",".join(effect.needed),
            )

    def _exit(self, effect: native.Exit) -> None:
        told = self._log.info if effect.clean else self._log.fault
        told("session ends", clean=effect.clean, why=effect.why)
        self._door.stop(break_clients=False)
        if not self._over.done():
            self._over.set_result(effect.clean)

    # What comes from outside.

    def _tell_status(self) -> None:
        self._status.tell_now()

    def _signalled(self) -> None:
        self._log.info("told to close by a signal")
        self._feed(native.Close())

    def _agent_connected(self) -> None:
        self._feed(native.AgentConnected())
        self._status.tell_now()

    def _take_line(self, line: lines.ToProgram) -> None:
        match line:
            case lines.Answer(id=number, answer=answer):
                self._feed(native.Answered(number, _encode(answer)))
            case lines.Close():
                self._feed(native.Close())
            case lines.Leave(replica=replica):
                self._feed(native.Leave(replica))
            case lines.Targets(targets=targets, document=document):
                named = None if document is None else _encode(document)
                self._feed(native.Targets(_encode(targets), named))
            case lines.Stop():
                self._feed(native.Stop())
            case _:
                self._log.warn("the agent said something meant for a replica program")

    def _log_news(
        self, event: native.Connected | native.Unreachable | native.Disconnected | native.Replied
    ) -> None:
        replica, node = self._core.target(event.replica)
        match event:
            case native.Connected():
                self._unreachable.pop(event.replica, None)
                self._log.info("replica connected", replica=replica, node=node)
            case native.Disconnected(why=why):
                self._log.warn("replica disconnected", replica=replica, node=node, why=why)
            case native.Unreachable(why=why):
                # Dialled again and again while it is away: said once.
                if self._unreachable.get(event.replica) != why:
                    self._log.warn("replica unreachable", replica=replica, node=node, why=why)
                self._unreachable[event.replica] = why
            case native.Replied():
                pass
