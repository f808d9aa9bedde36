"""The engines of this node: started once per epoch, found again, told, ended, their death confirmed.

The end of an engine is confirmed by its lock: the agent takes it and, while it holds it, withdraws the order file, so a
program of that epoch that came late would find no order (docs/protocol.md, B2, B15, C). Which engine should run is
`reconcile`'s to say.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import PurePath
from typing import Final

import msgspec

from shorthorn.agent.engine import Engine
from shorthorn.agent.lines import session_order
from shorthorn.agent.outside import Link
from shorthorn.agent.program_links import Taker
from shorthorn.agent.reconcile import (
    Action,
    BoundClose,
    EndEngine,
    ForgetEngine,
    RefuseEpoch,
    StartEngine,
    TakeBack,
    TellEngine,
)
from shorthorn.agent.running import EngineRuns, Told
from shorthorn.agent.surroundings import Surroundings
from shorthorn.core.model.ids import ClusterUid, Epoch, VolumeUid
from shorthorn.core.model.order import RunEngine
from shorthorn.core.model.world import Settings
from shorthorn.errors import Invalid
from shorthorn.links import program_lines as wire
from shorthorn.ports.processes import Process, end, ended_within

log = logging.getLogger(__name__)

TERM_S: Final = 5.0
"""From SIGTERM to SIGKILL of an engine that a newer epoch waits for: its session is over for the record already."""

CLOSE_SLACK_S: Final = 10.0
"""Beyond the engine's own bound on a close: then it hangs and is ended by signals (B13)."""

RETRY_S: Final = 5.0
"""Between two tries of a start that can't be made yet."""

CLOSE: Final[Told] = ("close",)

Key = tuple[VolumeUid, Epoch]


class Engines:
    """All of them. `asked` is called with each ask of a linked engine."""

    def __init__(self, around: Surroundings, asked: Callable[[Link, VolumeUid, wire.Ask], None]) -> None:
        self._around = around
        self._asked = asked
        self._engines: dict[Key, Engine] = {}
        self.last = around.folder.last_epochs()
        self.held_back: dict[Key, str] = {}
        self._start_no_more = False

    def views(self) -> tuple[EngineRuns, ...]:
        """What runs and what has ended, in order."""
        return tuple(self._engines[key].runs() for key in sorted(self._engines))

    @property
    def live(self) -> list[Engine]:
        """Those whose end is not confirmed, in order."""
        return [self._engines[key] for key in sorted(self._engines) if not self._engines[key].evidence]

    def find(self) -> None:
        """Take up what earlier agents started. One of another boot can't live, unless the boot id was set by hand."""
        for volume, epoch, path in self._around.folder.engine_folders():
            self._engines[volume, epoch] = Engine(volume, epoch, path, self._around)
        locked = [e for e in self._engines.values() if not self._confirm(e, self._why_found_dead(e))]
        holders = self._around.files.who_holds([engine.lock_file for engine in locked])
        for engine in locked:
            self._adopt(engine, holders.get(engine.lock_file))

    def greet(self, hello: wire.EngineHello, link: Link) -> Taker | None:
        """An engine dialled: who takes its lines, None when it is none of ours."""
        engine = self._engines.get((VolumeUid(hello.volume), Epoch(hello.epoch)))
        if engine is None or engine.evidence:
            link.drop(f"no engine of {hello.volume}, epoch {hello.epoch} should run here")
            return None
        if engine.process is None:
            self._watch(engine, link.pid)
        elif engine.process.pid != link.pid:
            link.drop(f"the {engine} is process {engine.process.pid}")
            return None
        if engine.link is not None:
            engine.link.drop("dialled again")
        if engine.linked_before:
            engine.targets = None  # what it heard on its last link is not known for sure
        engine.link, engine.told, engine.trouble, engine.linked_before = link, set(), "", True
        log.info("%s is linked, process %d", engine, link.pid)
        self._around.changed()
        return lambda message: self._take(engine, link, message)

    def unlink(self, link: Link) -> None:
        """A link ended; the engine may live on and dial again."""
        for engine in self._engines.values():
            if engine.link is link:
                engine.link = None
                self._around.changed()

    def carry_out(self, action: Action, cluster: ClusterUid, settings: Settings) -> None:
        """Do what `reconcile` says; what takes time goes on as a task."""
        match action:
            case StartEngine():
                self._begin_start(action.order, cluster, settings)
            case RefuseEpoch():
                self._refuse(action.volume, action.epoch)
            case EndEngine():
                self.end(self._engines[action.volume, action.epoch], TERM_S)
            case BoundClose():
                engine = self._engines[action.volume, action.epoch]
                engine.closing = True
                self._around.group.create_task(self._bound_close(engine, settings.close_s + CLOSE_SLACK_S))
            case ForgetEngine():
                self._forget(self._engines[action.volume, action.epoch])
            case TellEngine():
                self._tell(self._engines[action.volume, action.epoch], action)
            case TakeBack():
                self._engines[action.volume, action.epoch].told.discard(action.told)

    def end(self, engine: Engine, grace_s: float) -> None:
        """End an engine by signals, as a task; its end is confirmed as any other.

        One that is being started is not started. One whose process is not known is looked for, now and again.
        """
        if engine.ending or engine.evidence:
            return
        if engine.process is None and not engine.starting:
            self._seek_holder(engine)
        self._signal(engine, grace_s)

    def _signal(self, engine: Engine, grace_s: float) -> None:
        if engine.evidence:
            return
        engine.ending = True
        if engine.process is not None:
            log.info("%s: told to end, process %d", engine, engine.process.pid)
            self._around.group.create_task(_end(engine, engine.process, grace_s))
        elif not engine.starting:
            asyncio.get_running_loop().call_later(RETRY_S, self._end_anew, engine)

    def _end_anew(self, engine: Engine) -> None:
        engine.ending = engine.closing = False
        self._around.changed()

    def close_all(self) -> list[tuple[str, Process]]:
        """Start none any more and have every engine close its session: those that will end, by name.

        One that is not linked is asked by signal. May be called twice.
        """
        self._start_no_more = True
        for engine in self.live:
            if engine.link is not None and CLOSE not in engine.told:
                engine.told.add(CLOSE)
                engine.link.send(wire.Close())
            elif engine.link is None and engine.process is not None:
                engine.process.signal(signal.SIGTERM)
        return [(str(engine), engine.process) for engine in self.live if engine.process is not None]

    def let_go(self) -> None:
        """Watch no more; what runs runs on."""
        for engine in self._engines.values():
            if engine.process is not None:
                engine.process.forget()

    # Starting.

    def _begin_start(self, order: RunEngine, cluster: ClusterUid, settings: Settings) -> None:
        """Everything that can fail without using up the epoch is done first."""
        volume = order.volume
        if volume.session is None:
            raise AssertionError(f"no session in the order for {volume.uid}")
        key = (volume.uid, volume.session.epoch)
        folder = self._around.folder
        program = PurePath(self._around.programs.engine[0])
        try:
            path = folder.engine(*key)
            endpoint = folder.endpoint(volume.uid, volume.held_since or volume.session.epoch)
        except Invalid as error:
            self._hold_back(key, error.message)
            return
        if not self._around.files.is_program(program):
            self._hold_back(key, f"the program {program}, which is missing")
            return
        content = session_order(
            cluster, settings, self._around.node, order, str(endpoint), str(folder.socket)
        )
        engine = self._engines[key] = Engine(*key, path, self._around)
        engine.targets, engine.starting = content.targets, True
        before = self.last.get(volume.uid, Epoch(0))
        self.last[volume.uid] = key[1]
        self._around.group.create_task(self._start(engine, msgspec.json.encode(content), endpoint, before))

    async def _start(self, engine: Engine, order: bytes, endpoint: PurePath, before: Epoch) -> None:
        boot = self._around.machine.boot_id
        try:
            await self._around.files.aside(
                lambda: self._around.folder.make_engine(engine.volume, engine.epoch, order, boot)
            )
        except OSError as error:
            self._undo_start(engine, before, error)
            return
        try:
            if self._start_no_more or engine.closing or engine.ending:
                self._confirm(engine, "it was not started: its end was ordered first")
                self._around.changed()
                return
            engine.process = self._spawn(engine, endpoint)
        except OSError as error:
            log.error("%s can't be started: %s", engine, error)  # noqa: TRY400 - one line
            self._confirm(engine, f"it could not be started: {error}")
        else:
            log.info("%s started, process %d", engine, engine.process.pid)
            self._around.group.create_task(self._await_end(engine, engine.process))
        finally:
            engine.starting = False
        self._around.changed()

    def _undo_start(self, engine: Engine, before: Epoch, error: OSError) -> None:
        """Its folder can't be written, so it was not started and may be later: no end is told that is not durable."""
        with contextlib.suppress(OSError):
            self._around.files.remove_tree(engine.folder)
        del self._engines[engine.volume, engine.epoch]
        self.last[engine.volume] = before
        self._hold_back((engine.volume, engine.epoch), f"its order to be written: {error}")

    def _spawn(self, engine: Engine, endpoint: PurePath) -> Process:
        """Nothing of older epochs lives: what is left of their endpoint goes first (A16)."""
        self._around.files.remove(endpoint)
        command = (
            *self._around.programs.engine,
            *("--order", str(engine.folder / "order.json")),
            *("--lock", str(engine.lock_file)),
        )
        return self._around.processes.start(command, engine.log_file)

    def _hold_back(self, key: Key, why: str) -> None:
        log.warning("engine of %s, epoch %d is not started: waits for %s", *key, why)
        self.held_back[key] = why
        asyncio.get_running_loop().call_later(RETRY_S, self._look_again, key)
        self._around.changed()

    def _look_again(self, key: Key) -> None:
        self.held_back.pop(key, None)
        self._around.changed()

    def _refuse(self, volume: VolumeUid, epoch: Epoch) -> None:
        log.info("engine of %s, epoch %d is closed before it came to run here", volume, epoch)
        self._around.folder.write_last_epoch(volume, epoch)
        self.last[volume] = epoch
        self._around.changed()

    # Finding.

    def _why_found_dead(self, engine: Engine) -> str:
        boot = engine.boot_id()
        if not boot:
            return "its start was never written down whole, so it never ran"
        if boot == self._around.machine.boot_id:
            return "its lock was taken over at the agent's start"
        return f"the machine has another boot id than when it was started ({boot})"

    def _adopt(self, engine: Engine, pid: int | None) -> None:
        """One whose lock is held: it lives."""
        if pid is None:
            engine.trouble = "it runs, but its process is not known: waits until it dials"
            log.warning("%s runs, but its process is not known", engine)
            return
        self._watch(engine, pid)
        if engine.boot_id() not in ("", self._around.machine.boot_id) and engine.process is not None:
            log.info("%s is of another boot: killed", engine)
            engine.process.signal(signal.SIGKILL)

    def _watch(self, engine: Engine, pid: int) -> None:
        try:
            engine.process = self._around.processes.watch(pid)
        except ProcessLookupError:
            self._confirm(engine, "its process ended and its lock was taken over")
            return
        log.info("%s found running, process %d", engine, pid)
        self._around.group.create_task(self._await_end(engine, engine.process))

    # Ending.

    async def _await_end(self, engine: Engine, process: Process) -> None:
        await process.ended()
        if not self._confirm(engine, engine.last_words(process)):
            self._seek_holder(engine)
        self._around.changed()

    def _seek_holder(self, engine: Engine) -> None:
        """No process is watched, or the one that was is gone, and its lock is held: somebody else holds it."""
        holder = self._around.files.who_holds([engine.lock_file]).get(engine.lock_file)
        engine.process, engine.ending, engine.closing = None, False, False
        if holder is not None:
            self._watch(engine, holder)
        elif not self._confirm(engine, "its lock was taken over"):
            trouble = "its lock is held by a process that is not known"
            if engine.trouble != trouble:
                log.error("%s: %s", engine, trouble)
            engine.trouble = trouble

    def _confirm(self, engine: Engine, evidence: str) -> bool:
        """Whether nothing of the engine lives; then its endpoint goes, too (A16).

        Unless a newer engine of the hold has taken the path: that one is started only after this end.
        """
        if not engine.confirm_end(evidence):
            return False
        log.info("%s has ended: %s", engine, evidence)
        endpoint = engine.endpoint()
        newer = any(e.volume == engine.volume and e.epoch > engine.epoch for e in self._engines.values())
        if endpoint is not None and endpoint.parent == self._around.folder.nbd and not newer:
            self._around.files.remove(endpoint)
        return True

    async def _bound_close(self, engine: Engine, bound_s: float) -> None:
        """One that is being started is not started; one whose process is not known has the same time to dial."""
        process = engine.process
        if process is None and not engine.starting:
            await asyncio.sleep(bound_s)
        elif process is None or await ended_within(process, bound_s):
            return
        if not engine.evidence:
            log.warning("%s did not close within %.0f s", engine, bound_s)
            self.end(engine, TERM_S)

    def _forget(self, engine: Engine) -> None:
        """Its greatest epoch stays on record, so it is never started again."""
        self._around.folder.write_last_epoch(engine.volume, self.last[engine.volume])
        self._around.files.remove_tree(engine.folder)
        self._around.files.sync_folder(engine.folder.parent)
        del self._engines[engine.volume, engine.epoch]
        log.info("%s is forgotten: no order is about it", engine)
        self._around.changed()

    # Talking.

    def _tell(self, engine: Engine, action: TellEngine) -> None:
        if engine.link is not None:
            if isinstance(action.message, wire.Targets):
                engine.targets = action.message.targets
            engine.told.add(action.told)
            engine.link.send(action.message)

    def _take(self, engine: Engine, link: Link, message: wire.FromProgram) -> None:
        if engine.link is not link:
            return
        if isinstance(message, wire.Status):
            engine.status = message
            self._around.changed()
        elif isinstance(message, wire.Ask) and message.ask.epoch == engine.epoch:
            self._asked(link, engine.volume, message)
        else:
            raise ValueError(f"an engine of epoch {engine.epoch} does not say this: {type(message).__name__}")


async def _end(engine: Engine, process: Process, grace_s: float) -> None:
    if not await end(process, grace_s):
        log.warning("%s did not end within %.0f s and was killed", engine, grace_s)
