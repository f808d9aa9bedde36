"""Implementations of the port `shorthorn.ports.store`, and wrappers around a store.

    MemoryStore     keeps nothing; for tests and the simulator
    SqliteStore     one file in the data folder; the default of a single server
    FaultyStore     a store around a store, whose commits fail on purpose
    Collection      documents of one type, over any store

Nothing here knows what a document means. Start reading at `_local.py`.
"""

from shorthorn.store.documents import Collection, Document
from shorthorn.store.faulty import Fault, FaultyStore
from shorthorn.store.memory import MemoryStore
from shorthorn.store.sqlite import SqliteStore

__all__ = ["Collection", "Document", "Fault", "FaultyStore", "MemoryStore", "SqliteStore"]
