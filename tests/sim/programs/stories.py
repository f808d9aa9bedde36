"""A client that writes growing numbers, and everything that may die dies at a time that chance decides.

What it must read in the next session: nothing older than what was answered (than what was flushed, when all power was
lost), nothing newer than what was asked. Kept apart from the tests so that a process with another build can tell it, too.
"""

from random import Random

from shorthorn.links import program_lines as lines
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.device import Device, Gone, IoError
from tests.sim.programs.rig import Node, Rig

BLOCK = 4096
OFFSETS = (0, BLOCK, 1 << 20)


class WrongError(AssertionError):
    """A client has read what can't be."""


def content(value: int) -> bytes:
    return value.to_bytes(8, "little") * (BLOCK // 8)


class Story:
    """`sent`, `answered`, `flushed`: the newest value of each block."""

    def __init__(self, seed: int) -> None:
        self.rig = Rig(seed)
        self.chance = Random(seed)
        self.sent = dict.fromkeys(OFFSETS, 0)
        self.answered = dict.fromkeys(OFFSETS, 0)
        self.flushed = dict.fromkeys(OFFSETS, 0)
        self.value = 0
        self.wrong = ""

    def tell(self, sessions: int = 4) -> str:
        """Sessions that end badly, one after the other. The digest of the run. Raises `WrongError`."""
        for _ in range(sessions):
            self.session()
        digest = f"{self.rig.kernel.digest} {self.rig.kernel.now_ns} {self.value}"
        self.rig.close()
        return digest

    def session(self) -> None:
        rig, at = self.rig, self.chance.randrange(3)
        self.heal()
        engine = rig.start_engine(at)
        rig.until(lambda: rig.record.is_open or engine.ended)
        if rig.record.broken:
            rig.end_broken()
            return
        if engine.ended:
            rig.end_session()
            return
        rig.go(at, self.judge)
        if self.wrong:
            raise WrongError(self.wrong)
        if not engine.machine.process(engine.pid):
            rig.end_session()
            return
        client = rig.nodes[at].machine.spawn("writer", self.write)
        for _ in range(self.chance.randrange(1, 4)):
            rig.kernel.run_for(self.chance.random() * 0.3)
            if self.fault(engine):
                break
        rig.kernel.run_for(self.chance.random() * 0.2)
        engine.kill()
        rig.until(lambda: client.ended)
        rig.end_session()

    def fault(self, engine: Process) -> bool:
        """Something dies. Whether everything has."""
        nodes, kind = self.rig.nodes, self.chance.randrange(5)
        node = nodes[self.chance.randrange(3)]
        if kind == 0:
            for one in nodes:
                one.machine.power_off()
            self.answered = dict(self.flushed)
            return True
        if kind == 1:
            engine.kill()
        elif kind == 2 and node.replica is not None and node.machine.powered:
            node.replica.kill()
            self.rig.start_replica(node)
        elif kind == 3:
            node.machine.power_off()
        else:
            self.rebuild()
        return False

    def rebuild(self) -> None:
        """The engine hears of those that are away, and resyncs them."""
        if self.rig.engine_link is not None and self.rig.record.session is not None:
            where = int(self.rig.nodes.index(self.here()))
            targets = self.rig.targets(where)
            self.rig.tell_engine(lines.Targets(targets=targets, document=self.rig.record.document()))

    def here(self) -> Node:
        engine = self.rig.engine
        return next(node for node in self.rig.nodes if engine is not None and node.machine is engine.machine)

    def heal(self) -> None:
        """Everything is there again."""
        for node in self.rig.nodes:
            if not node.machine.powered:
                node.machine.power_on()
                self.rig.start_agent(node)
                self.rig.start_replica(node)
            elif node.replica is None or node.replica.ended:
                self.rig.start_replica(node)
        self.rig.until(lambda: all(node.address for node in self.rig.nodes))

    async def write(self, process: Process) -> int:
        try:
            device = await Device.open(process, self.rig.network, "/v1.sock")
            while True:
                self.value += 1
                offset = self.chance.choice(OFFSETS)
                self.sent[offset] = value = self.value
                await device.write(offset, content(value))
                self.answered[offset] = value
                if self.chance.random() < 0.3:
                    answered = dict(self.answered)
                    await device.flush()
                    self.flushed = answered
        except (Gone, IoError, OSError):
            return 0

    async def judge(self, device: Device) -> None:
        for offset in OFFSETS:
            data = await device.read(offset, BLOCK)
            found = int.from_bytes(data[:8], "little")
            whole = data == content(found)
            if not (self.answered[offset] <= found <= self.sent[offset] and whole):
                self.wrong = (
                    f"block at {offset}: {found}{'' if whole else ', torn'}; answered {self.answered[offset]},"
                    f" flushed {self.flushed[offset]}, sent {self.sent[offset]}"
                )
            # What was read once is not taken back, and nothing newer can come any more.
            self.answered[offset] = self.sent[offset] = found
