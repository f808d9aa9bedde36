"""One HTTP call as the handlers see it: decoded, bounded, typed.

A handler takes a `Call` and returns a record (200), None (204) or a Starlette response. It raises `ShorthornError`.
"""

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import Request

from shorthorn.errors import Invalid

BODY_BYTES_MAX = 4 << 20
"""A sighting of a node with ten thousand replicas fits; nothing that we send is larger."""

BODY_S = 10.0
"""Bound on the arrival of a body: an agent gives up its call after as long."""

T = TypeVar("T")


class Call:
    """A request with its path parameters and query."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def path(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A query parameter, if given."""
        return self.request.query_params.get(name)

    def query_number(self, name: str, default: float, maximum: float) -> float:
        """A query parameter that is a number from 0 to `maximum`."""
        text = self.query(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise Invalid(f"{name} must be a number, not {text!r}") from None
        if not 0 <= value <= maximum:
            raise Invalid(f"{name} must be from 0 to {maximum:g}, not {text}")
        return value

    async def body(self, kind: type[T]) -> T:
        """The JSON body as a record. Raises `Invalid` in one line that names the field."""
        try:
            async with asyncio.timeout(BODY_S):
                received = await self._received()
        except TimeoutError:
            raise Invalid(f"the body did not come within {BODY_S:.0f} s") from None
        try:
            return msgspec.json.decode(received, type=kind)
        except msgspec.DecodeError as error:
            raise Invalid(f"the body is not a {kind.__name__}: {error}") from error

    async def _received(self) -> bytes:
        received = bytearray()
        async for chunk in self.request.stream():
            received += chunk
            if len(received) > BODY_BYTES_MAX:
                raise Invalid(f"the body is larger than {BODY_BYTES_MAX} bytes")
        return bytes(received)
