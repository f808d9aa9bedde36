"""A server as an agent sees it, over real HTTP: gives the orders that the test sets, keeps what it is told."""

import asyncio
from collections.abc import Callable
from typing import Self

import msgspec
from aiohttp import web

from shorthorn.core.model.ids import ClusterUid, NodeName
from shorthorn.core.model.order import NodeOrders, Order
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.core.model.world import Settings
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, EngineOutcome, Registered, Registration

CLUSTER = ClusterUid("c-1")


def refuse_all(event: EngineEvent) -> EngineAnswer:
    return EngineAnswer(outcome=EngineOutcome.REFUSED, why="the test refuses it")


class FakeServer:
    """Use as a context manager; `url` is where it listens."""

    def __init__(self, cluster: ClusterUid = CLUSTER, port: int = 0) -> None:
        self.settings = Settings(cluster=cluster, close_s=0.5)
        self.registrations: list[Registration] = []
        self.sightings: list[NodeSighting] = []
        self.beats: list[Beat] = []
        self.events: list[EngineEvent] = []
        self.answer: Callable[[EngineEvent], EngineAnswer] = refuse_all
        self.orders: tuple[Order, ...] = ()
        self.unknown = False
        self.port = port
        self._news = asyncio.Condition()
        self._cuts = 0
        app = web.Application()
        base = "/v1/agents/{node}"
        app.add_routes(
            [
                web.post(f"{base}/register", self._register),
                web.get(f"{base}/orders", self._orders),
                web.post(f"{base}/sighting", self._sighting),
                web.post(f"{base}/beat", self._beat),
                web.post(f"{base}/events", self._events),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seen(self) -> NodeSighting:
        """The newest sighting."""
        return self.sightings[-1]

    async def order(self, *orders: Order) -> None:
        """Set all orders."""
        async with self._news:
            self.orders = orders
            self._news.notify_all()

    def cut(self) -> None:
        """The streams of orders that are open now carry nothing any more, as if the network had lost them."""
        self._cuts += 1

    async def until(self, met: Callable[[NodeSighting], bool], bound_s: float = 15.0) -> NodeSighting:
        """Wait until the newest sighting is such; fails after the bound, with the sighting."""
        try:
            async with asyncio.timeout(bound_s), self._news:
                await self._news.wait_for(lambda: bool(self.sightings) and met(self.seen))
        except TimeoutError:
            raise AssertionError(f"not seen within {bound_s} s; newest: {self.sightings[-1:]}") from None
        return self.seen

    async def heard(self, met: Callable[[], bool], bound_s: float = 15.0) -> None:
        """Wait until what the server was told is such."""
        async with asyncio.timeout(bound_s), self._news:
            await self._news.wait_for(met)

    async def _noted(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _register(self, request: web.Request) -> web.Response:
        self.registrations.append(msgspec.json.decode(await request.read(), type=Registration))
        self.unknown = False
        await self._noted()
        return _json(Registered(cluster=self.settings.cluster, settings=self.settings))

    async def _orders(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await response.prepare(request)
        node = NodeName(request.match_info["node"])
        opened = self._cuts
        while opened == self._cuts:
            given = self.orders
            orders = NodeOrders(
                cluster=self.settings.cluster, node=node, settings=self.settings, orders=given
            )
            await response.write(msgspec.json.encode(orders) + b"\n")
            while not await self._others_than(given) and opened == self._cuts:
                await response.write(b"\n")
        await asyncio.get_running_loop().create_future()  # the runner's end cancels it
        return response

    async def _others_than(self, given: tuple[Order, ...]) -> bool:
        """Wait for other orders, as long as the stream may be silent."""
        try:
            async with asyncio.timeout(2.0), self._news:
                await self._news.wait_for(lambda: given is not self.orders)
        except TimeoutError:
            return False
        return True

    async def _sighting(self, request: web.Request) -> web.Response:
        if self.unknown:
            return web.json_response({"title": "not found", "detail": "no such node"}, status=404)
        self.sightings.append(msgspec.json.decode(await request.read(), type=NodeSighting))
        await self._noted()
        return web.Response(status=204)

    async def _beat(self, request: web.Request) -> web.Response:
        beat = msgspec.json.decode(await request.read(), type=Beat)
        if not self.sightings or self.seen.sequence != beat.sequence:
            return web.json_response({"title": "send it whole"}, status=409)
        self.beats.append(beat)
        await self._noted()
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.Response:
        event = msgspec.json.decode(await request.read(), type=EngineEvent)
        self.events.append(event)
        await self._noted()
        return _json(self.answer(event))


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
