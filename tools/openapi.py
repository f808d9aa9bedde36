"""The text of `api/openapi.json`: the document that the server answers with, from its table of routes."""

import asyncio
import json

from shorthorn.control.control import Control
from shorthorn.faces.api.openapi import openapi
from shorthorn.faces.api.routes import routes
from shorthorn.ports.clock import SystemClock
from shorthorn.ports.ids import RandomIds
from shorthorn.store import MemoryStore
from shorthorn.version import VERSION


def text() -> str:
    """Indented, with a line end: for reading a difference."""
    return json.dumps(asyncio.run(_document()), indent=1) + "\n"


async def _document() -> dict[str, object]:
    control = await Control.open(MemoryStore(), SystemClock(), RandomIds())
    return openapi(routes(control, insecure_network=False), VERSION)
