"""A server process: the control plane that ships over the shared store, answering agents, people and consumers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from shorthorn.control.agent_calls import AgentCalls
from shorthorn.control.control import Control
from shorthorn.control.lease import LeaseTimes
from shorthorn.core.model.ids import Holder, NodeName, VolumeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.volume import Mode, Spec
from shorthorn.ports.ids import Ids
from shorthorn.requests import Requests
from shorthorn.sim.cluster.calls import Handler, Server
from shorthorn.sim.cluster.shared_store import SharedStore
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Network
from shorthorn.sim.machine.process import Process

API: Final = "api"
WHO: Final = "a person"
AWAY: Final = "it is away"


class ServerHost:
    """A machine with a server. `control` is the running one's, None while it is down or starts."""

    def __init__(
        self, machine: Machine, network: Network, store: SharedStore, ids: Ids, lease: LeaseTimes | None
    ) -> None:
        self.machine = machine
        self.control: Control | None = None
        self.process: Process | None = None
        self._network = network
        self._store = store
        self._ids = ids
        self._lease = lease

    @property
    def leads(self) -> bool:
        """Whether it answers and plans, as far as it knows."""
        running = self.process is not None and not self.process.ended
        return running and self.control is not None and self.control.leading

    def start(self) -> None:
        """Start the server's process; nothing happens while one runs."""
        if self.process is None or self.process.ended:
            self.control = None
            self.process = self.machine.spawn("server", self._main)

    async def _main(self, process: Process) -> None:
        store = self._store.client(process)
        control = await Control.open(store, self.machine.clock, self._ids, lease=self._lease)
        calls = AgentCalls(control)

        async def orders(node: NodeName) -> AsyncIterator[NodeOrders | None]:
            async for found in calls.orders(node):
                yield found

        async def sighting(seen: Any) -> None:
            calls.sighting(seen)

        async def beat(said: Any) -> None:
            calls.beat(said)

        handlers: dict[str, Handler] = {
            "register": calls.register,
            "sighting": sighting,
            "beat": beat,
            "ask": calls.ask,
        }
        handlers.update(_requests(Requests(control)))
        running = process.loop.create_task(control.run(), name="control")
        await control.ready()
        self.control = control
        Server(process, self._network, API, handlers, {"orders": orders})
        await running


def _requests(requests: Requests) -> dict[str, Handler]:
    """What people and consumers may ask, by name."""
    volumes, nodes = requests.volumes, requests.nodes

    async def create(name: str, size: int, spec: Spec) -> object:
        return await volumes.create(VolumeName(name), size, spec)

    async def attach(name: str, holder: str, node: str, mode: str) -> object:
        return await volumes.attach(VolumeName(name), Holder(holder), NodeName(node), Mode(mode))

    async def detach(name: str, holder: str) -> object:
        return await volumes.detach(VolumeName(name), Holder(holder))

    async def scale(name: str, replicas: int) -> object:
        return await volumes.change(VolumeName(name), replicas=replicas)

    async def expand(name: str, size: int) -> object:
        return await volumes.change(VolumeName(name), size=size)

    async def delete(name: str) -> object:
        return await volumes.delete(VolumeName(name))

    verbs: dict[str, Callable[[NodeName], Awaitable[object]]] = {
        "cordon": nodes.cordon,
        "uncordon": nodes.uncordon,
        "evict": nodes.evict,
        "cancel-evict": nodes.cancel_evict,
        "declare-dead": lambda name: nodes.declare_dead(name, WHO, AWAY),
        "declare-dead-by-force": lambda name: nodes.declare_dead(name, WHO, AWAY, force=True),
        "withdraw-death": lambda name: nodes.withdraw_death(name, WHO),
    }

    async def node(verb: str, name: str) -> object:
        return await verbs[verb](NodeName(name))

    async def setting(name: str, value: float | None) -> object:
        return await requests.change_setting(name, value)

    return {
        "create": create, "attach": attach, "detach": detach, "scale": scale, "expand": expand, "delete": delete,
        "node": node, "setting": setting,
    }  # fmt: skip
