"""Documents of one type over any store: encoding at the edge, versions kept beside values.

The store's values are opaque; this is the one place where they become JSON. It never
decides what goes into a commit: it gives `Write`s, and the caller commits them together
with whatever else belongs to the same decision.
"""

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from shorthorn.errors import Damaged
from shorthorn.ports.store import ABSENT, Change, Store, Stored, Write

T = TypeVar("T", bound=Struct)


class Document(Struct, Generic[T], frozen=True):
    """A record and the version to expect when it is written back."""

    key: str
    version: int
    value: T


class Collection(Generic[T]):
    """All documents of one kind: those whose key is `prefix` and a name.

    The prefix ends with "/" (or is a whole key, for a single document under the name "").
    JSON, with the fields in the struct's order and dict keys sorted: equal records are equal
    bytes.
    """

    def __init__(self, prefix: str, kind: type[T]) -> None:
        self.prefix = prefix
        self._kind = kind
        self._encoder = msgspec.json.Encoder(order="deterministic")
        self._decoder = msgspec.json.Decoder(kind)

    def key(self, name: str) -> str:
        """The store's key of the document with this name."""
        return self.prefix + name

    def name(self, key: str) -> str:
        """The name in a key of this collection."""
        return key.removeprefix(self.prefix)

    async def get(self, store: Store, name: str) -> Document[T] | None:
        """The document, or None. Raises `Damaged` when it is not one of this kind."""
        stored = await store.get(self.key(name))
        return None if stored is None else self.decode(stored)

    async def list(self, store: Store) -> tuple[int, tuple[Document[T], ...]]:
        """(revision, all documents of this kind by key): watch from that revision + 1."""
        listing = await store.list(self.prefix)
        return listing.revision, tuple(self.decode(stored) for stored in listing.items)

    def decode(self, stored: Stored) -> Document[T]:
        """Raises `Damaged`, naming the key, when the bytes are no record of this kind."""
        try:
            value = self._decoder.decode(stored.value)
        except msgspec.DecodeError as error:  # includes ValidationError
            raise Damaged(
                f"the stored document {stored.key} is not a {self._kind.__name__}: {error}",
                context=f"version {stored.version}, {len(stored.value)} bytes",
            ) from error
        return Document(key=stored.key, version=stored.version, value=value)

    def decode_change(self, change: Change, revision: int) -> Document[T] | None:
        """What a watch brought: the document after the change, None when it was deleted."""
        if change.value is None:
            return None
        return self.decode(Stored(change.key, revision, change.value))

    def create(self, value: T) -> Write:
        """A write that needs the document to be absent."""
        return Write(ABSENT, self.encode(value))

    def replace(self, document: Document[T], value: T) -> Write:
        """A write that needs the document to be as it was read."""
        return Write(document.version, self.encode(value))

    def delete(self, document: Document[T]) -> Write:
        """A deletion that needs the document to be as it was read."""
        return Write(document.version, None)

    def encode(self, value: T) -> bytes:
        """The bytes that a store keeps of the record."""
        return self._encoder.encode(value)
