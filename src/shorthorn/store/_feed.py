"""What a local store shows its readers: all documents, and the history that watches read.

Lives in the loop's thread only. It is told of commits after they are durable, so nothing
that it shows can be undone. It has no queues: a watch is a place in the one history that
all share, so a slow watcher costs no memory and a watcher that is too slow finds its
place forgotten (`Compacted`).
"""

import asyncio
from bisect import bisect_left, insort
from typing import Self

from shorthorn.errors import Invalid, ShorthornError
from shorthorn.ports.store import Batch, Compacted, Listing, Stored
from shorthorn.store._database import Loaded
from shorthorn.store._limits import check_prefix

AFTER_EVERY_KEY_CHAR = "\x7f"
"""Above every character that a key may have, so `prefix + this` ends the prefix's range."""


class Feed:
    """Documents and history up to `revision`."""

    def __init__(self, loaded: Loaded) -> None:
        self.revision = loaded.revision
        self.entries = loaded.entries
        self.oldest = loaded.oldest
        self._documents = {document.key: document for document in loaded.documents}
        self._keys = sorted(self._documents)
        self._history = {batch.revision: batch for batch in loaded.history}
        self._waiting: dict[FeedWatch, asyncio.Future[None]] = {}
        self._ended: ShorthornError | None = None

    def get(self, key: str) -> Stored | None:
        """The document, or None."""
        return self._documents.get(key)

    def list(self, prefix: str) -> Listing:
        """All under the prefix, sorted by key."""
        first = bisect_left(self._keys, prefix)
        end = bisect_left(self._keys, prefix + AFTER_EVERY_KEY_CHAR, first)
        items = tuple(self._documents[key] for key in self._keys[first:end])
        return Listing(revision=self.revision, entries=self.entries, items=items)

    def take_in(self, batch: Batch) -> None:
        """The next commit has become true: show it, and wake the watches that it matches."""
        if batch.revision != self.revision + 1:
            raise AssertionError(f"revision {batch.revision} after {self.revision}")
        self.revision = batch.revision
        self._history[batch.revision] = batch
        if batch.journal:
            self.entries = batch.journal[-1].number
        for change in batch.changes:
            if change.value is None:
                del self._documents[change.key]
                del self._keys[bisect_left(self._keys, change.key)]
            else:
                if change.key not in self._documents:
                    insort(self._keys, change.key)
                self._documents[change.key] = Stored(change.key, batch.revision, change.value)
        for watch in list(self._waiting):
            watch.see(batch)

    def forget_below(self, oldest: int) -> None:
        """History below `oldest` is gone."""
        for revision in range(self.oldest, oldest):
            self._history.pop(revision, None)
        self.oldest = max(self.oldest, oldest)

    def end(self, error: ShorthornError) -> None:
        """No more will ever come: every watch gets `error`, now or when it next waits."""
        self._ended = error
        for watch in list(self._waiting):
            self.wake(watch)

    def next_match(self, prefix: str, revision: int) -> Batch | None:
        """The first commit at or above `revision` that matches; None: not yet.

        Raises `Compacted`, or the error that ended the feed.
        """
        if self._ended is not None:
            raise self._ended
        if not self.oldest <= revision <= self.revision + 1:
            raise Compacted(self.oldest)
        for at in range(revision, self.revision + 1):
            batch = _matching(self._history[at], prefix)
            if batch is not None:
                return batch
        return None

    async def wait(self, watch: "FeedWatch") -> None:
        """Until the watch is woken."""
        if watch in self._waiting:
            raise AssertionError("two tasks wait on one watch")
        woken = asyncio.get_running_loop().create_future()
        self._waiting[watch] = woken
        try:
            await woken
        finally:
            if self._waiting.get(watch) is woken:
                del self._waiting[watch]

    def wake(self, watch: "FeedWatch") -> None:
        """Let the task that waits on it, if any, look again."""
        woken = self._waiting.pop(watch, None)
        if woken is not None and not woken.done():
            woken.set_result(None)


class FeedWatch:
    """A place in the history of a feed. See `shorthorn.ports.store.Watch`."""

    def __init__(self, feed: Feed, prefix: str, from_revision: int) -> None:
        """Raises `Invalid` for a prefix or a revision that can't be."""
        check_prefix(prefix)
        if from_revision < 1:
            raise Invalid(f"revisions begin at 1; from_revision={from_revision}")
        self._feed = feed
        self._prefix = prefix
        self._next_revision = from_revision
        self._over: BaseException | None = None

    @property
    def next_revision(self) -> int:
        """Where to resume."""
        return self._next_revision

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        while self._over is None:
            batch = self._look()
            if batch is not None:
                return batch
            if self._over is None:
                await self._feed.wait(self)
        raise self._over

    async def aclose(self) -> None:
        """End it; may be called twice."""
        self._over = StopAsyncIteration()
        self._feed.wake(self)

    def see(self, batch: Batch) -> None:
        """A commit came while a task waits here; so all before it has been looked at."""
        if _matching(batch, self._prefix) is None:
            self._next_revision = batch.revision + 1
        else:
            self._feed.wake(self)

    def _look(self) -> Batch | None:
        try:
            batch = self._feed.next_match(self._prefix, self._next_revision)
        except ShorthornError as error:
            self._over = error
            return None
        newest = self._feed.revision if batch is None else batch.revision
        self._next_revision = newest + 1
        return batch


def _matching(batch: Batch, prefix: str) -> Batch | None:
    """The part of the batch that a watch of `prefix` shows; None when there is none."""
    if not prefix:
        return batch
    changes = tuple(change for change in batch.changes if change.key.startswith(prefix))
    journal = tuple(entry for entry in batch.journal if entry.subject.startswith(prefix))
    if not changes and not journal:
        return None
    return Batch(revision=batch.revision, changes=changes, journal=journal)
