"""The Starlette application: one endpoint a path, dispatching on the method; who may call; what errors become."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from shorthorn.control.control import Control
from shorthorn.errors import ShorthornError
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.openapi import openapi
from shorthorn.faces.api.problems import on_bug, on_error, on_http, problem
from shorthorn.faces.api.protocol import BoundedProtocol
from shorthorn.faces.api.routes import HEALTH, Route, routes

__all__ = ["BoundedProtocol", "build_app"]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names under which the API answers on loopback: a page of another site that makes a browser resolve its own name to
127.0.0.1 (DNS rebinding) is refused."""


def build_app(control: Control, version: str, *, insecure_network: bool) -> Starlette:
    """The API over one control plane. `insecure_network`: answer under any host name (test namespaces)."""
    table = routes(control, insecure_network=insecure_network)
    document = msgspec.json.encode(openapi(table, version))

    async def describe(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    endpoints = [StarletteRoute("/openapi.json", describe, methods=["GET"])]
    for path in dict.fromkeys(route.path for route in table):
        same = [route for route in table if route.path == path]
        endpoints.append(
            StarletteRoute(path, _dispatch(control, same), methods=[route.method for route in same])
        )
    app = Starlette(
        routes=endpoints,
        exception_handlers={ShorthornError: on_error, HTTPException: on_http, Exception: on_bug},
    )
    if not insecure_network:
        app.add_middleware(LoopbackOnly)
    return app


class LoopbackOnly:
    """Refuses calls under another host name than loopback's, and those that a web page of another origin makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
            if host not in LOOPBACK_HOSTS or b"origin" in headers:
                refusal = problem(
                    403, "forbidden", "this API answers on loopback only, and no other site's pages"
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _dispatch(control: Control, same: Sequence[Route]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of one path. Only a leader answers: what another sees of the nodes is old, or nothing."""
    by_method = {route.method: route for route in same}

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        route = by_method[method]
        if route.path != HEALTH:
            control.check_leading()
        return _render(await route.handler(Call(request)), route.status)

    return endpoint


def _render(answer: Any, status: int) -> Response:  # noqa: ANN401 - any record
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status_code=204)
    return Response(msgspec.json.encode(answer), status, media_type="application/json")
