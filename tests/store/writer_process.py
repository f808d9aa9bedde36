"""A process that writes to a store until it is killed, and says what was acknowledged.

Each of several tasks counts one document and its twin up, with a journal entry in the same
commit, and prints "task number" when the commit is done. Started by test_sqlite.py.
"""

import asyncio
import sys
from pathlib import Path

from shorthorn.ports.store import Done, NewEntry, Write
from shorthorn.store import SqliteStore

TASKS = 6


async def count_up(store: SqliteStore, task: int) -> None:
    mine, twin = f"mine/{task}", f"twin/{task}"
    while True:
        stored = await store.get(mine)
        version, number = (stored.version, int(stored.value) + 1) if stored else (0, 1)
        value = b"%d" % number
        outcome = await store.commit(
            {mine: Write(version, value), twin: Write(version, value)}, {}, [NewEntry(mine, value)]
        )
        if not isinstance(outcome, Done):
            raise AssertionError(f"nobody else writes {mine}: {outcome}")
        # One write call for a line, so that a kill can't leave half of one before another.
        sys.stdout.write(f"{task} {number}\n")
        sys.stdout.flush()


async def main(path: Path) -> None:
    store = SqliteStore(path)
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(count_up(store, task))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
