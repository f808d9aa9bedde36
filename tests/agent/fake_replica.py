"""A fake replica program: keeps its folders in one JSON file, does tasks at once when a file says so."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.agent.fake_program import Say, note, serve, take_lock


class Replicas:
    def __init__(self, disk: Path, uid: str, boot: str) -> None:
        self.disk = disk
        self.uid = uid
        self.boot = boot
        self.file = disk / "held.json"
        self.holds: set[asyncio.Task[None]] = set()
        self.held: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def hello(self) -> dict[str, Any]:
        address = f"127.0.0.1:{os.getpid()}"
        return {"program": "replica", "wire": 1, "disk": self.uid, "address": address, "pid": os.getpid()}

    def linked(self, say: Say) -> None:
        note(self.disk, "linked")

    def take(self, message: dict[str, Any], say: Say) -> None:
        kind = message["type"]
        if kind != "list":
            note(self.disk, f"{kind} {message.get('replica') or message.get('task') or ''}".strip())
        getattr(self, f"_{kind}")(message, say)
        self.file.write_text(json.dumps(self.held))

    def _result(
        self, message: dict[str, Any], say: Say, error: str | None = None, replicas: Any = ()
    ) -> None:
        say({"type": "result", "id": message["id"], "error": error, "replicas": list(replicas)})

    def _create(self, message: dict[str, Any], say: Say) -> None:
        if (self.disk / "full").exists():
            self._result(message, say, "no space left")
            return
        self.held[message["replica"]] = {
            "replica": message["replica"],
            "volume": message["volume"],
            "empty": True,
            "document_version": message["document"]["version"],
            "used": 0,
            "open": False,
            "damaged": None,
            "standing": {
                "sealed_before": [0, message["attempt"]],
                "sealed": [0, message["attempt"]],
                "role": "syncing",
                "m": 0,
                "synced_through": None,
                "torn": False,
                "failed": None,
                "boot": self.boot,
                "marks": [],
            },
        }
        self._result(message, say)

    def _delete(self, message: dict[str, Any], say: Say) -> None:
        del self.held[message["replica"]]
        self._result(message, say)

    def _list(self, message: dict[str, Any], say: Say) -> None:
        self._result(message, say, None, self.held.values())

    def _probe(self, message: dict[str, Any], say: Say) -> None:
        self._result(message, say, None, [self.held[message["replica"]]])

    def _fence(self, message: dict[str, Any], say: Say) -> None:
        """Sealed at once; answered when the test says that the time is over."""
        note(
            self.disk,
            f"fence epoch {message['epoch']} attempt {message['attempt']} wait {message['wait_ms']}",
        )
        if (self.disk / "unfit").exists():
            self._result(message, say, "sealed by a newer epoch")
            return
        self.held[message["replica"]]["standing"]["sealed"] = [message["epoch"], message["attempt"]]
        task = asyncio.get_running_loop().create_task(self._hold(message, say))
        self.holds.add(task)
        task.add_done_callback(self.holds.discard)

    async def _hold(self, message: dict[str, Any], say: Say) -> None:
        while not (self.disk / "held-long-enough").exists():
            await asyncio.sleep(0.01)
        self._result(message, say)

    def _copy(self, message: dict[str, Any], say: Say) -> None:
        epoch = message["order"]["epoch"]
        for held in self.held.values():
            held["empty"] = False
            held["standing"]["sealed"] = [epoch, held["standing"]["sealed"][1]]
        self._list({"id": 0}, say)
        self._task(message["order"]["task"], {"state": "ready", "sealed": ["r-1"]}, say)

    def _task_committed(self, message: dict[str, Any], say: Say) -> None:
        self._task(message["task"], {"state": "finished"}, say)

    def _cancel_task(self, message: dict[str, Any], say: Say) -> None:
        self._task(message["task"], {"state": "failed", "why": "cancelled"}, say)

    def _task(self, task: str, state: dict[str, Any], say: Say) -> None:
        say({"type": "task", "task": task, "done": 5, "total": 5, "state": state})

    def _stop(self, message: dict[str, Any], say: Say) -> None:
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("disk", "disk-uid", "cluster", "boot-id", "agent", "listen"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    disk = Path(options.disk)
    take_lock(str(disk / "replica.lock"))
    note(disk, f"start {os.getpid()} {options.boot_id}")
    asyncio.run(serve(Replicas(disk, options.disk_uid, options.boot_id), options.agent))


main()
