"""Every implementation of `shorthorn.ports.store.Store`, made empty, for the suites here."""

from collections.abc import Callable
from pathlib import Path

from shorthorn.ports.store import Store
from shorthorn.store import FaultyStore, MemoryStore, SqliteStore

MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "store.sqlite"),
    "sqlite-inline": lambda folder: SqliteStore(folder / "store.sqlite", inline=True),
    "faulty": lambda folder: FaultyStore(MemoryStore()),
}
