"""A fake engine: asks to be opened, makes its endpoint, asks to be closed, ends. Ignores SIGTERM if told so by a file."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.agent.fake_program import Say, note, serve, take_lock


class Engine:
    def __init__(self, order: dict[str, Any], folder: Path) -> None:
        self.order = order
        self.folder = folder
        self.phase = "opening"
        self.asks = 0
        self.resyncs: list[dict[str, Any]] = []

    def hello(self) -> dict[str, Any]:
        return {
            "program": "engine",
            "wire": 1,
            "volume": self.order["volume"],
            "epoch": self.order["epoch"],
            "engine": f"e-{os.getpid()}",
            "pid": os.getpid(),
        }

    def linked(self, say: Say) -> None:
        self._status(say)
        if self.phase == "opening":
            members = [t["replica"] for t in self.order["targets"] if t["in_sync"]]
            endpoint = f"nbd+unix:///{self.order['name']}?socket={self.order['endpoint']}"
            self._ask(
                say, {"event": "session_opened", "members": members, "broken": False, "endpoint": endpoint}
            )
        elif self.phase == "closing":
            self._ask_closed(say)

    def take(self, message: dict[str, Any], say: Say) -> None:
        kind = message["type"]
        if kind == "answer":
            self._answered(message["answer"], say)
        elif kind == "close":
            note(self.folder, "close")
            if not (self.folder.parent / "hang").exists():
                self.phase = "closing"
                self._status(say)
                self._ask_closed(say)
        elif kind == "leave":
            note(self.folder, f"leave {message['replica']}")
        elif kind == "targets":
            note(self.folder, f"targets {' '.join(str(t['address']) for t in message['targets'])}")
            self._resync([t for t in message["targets"] if not t["in_sync"]], say)

    def _resync(self, syncing: list[dict[str, Any]], say: Say) -> None:
        """Half of it at once; the rest when the test says so."""
        for target in syncing:
            self.resyncs = [
                {
                    "replica": target["replica"],
                    "attempt": target["attempt"],
                    "done": 512,
                    "total": 1024,
                    "waits_for": "foreground I/O",
                }
            ]
            self._status(say)
            if target["attempt"] == 3:
                base = {"chain": ["l-1"], "size": 1 << 30}
                self.phase = "resyncing"
                self._ask(
                    say,
                    {
                        "event": "replica_synced",
                        "replica": target["replica"],
                        "attempt": 3,
                        "base": base,
                    },
                )

    def _answered(self, answer: dict[str, Any], say: Say) -> None:
        note(self.folder, f"answer {answer['outcome']}")
        if self.phase == "closing":
            os._exit(0)
        if answer["outcome"] != "committed":
            print(f"refused: {answer['why']}", file=sys.stderr, flush=True)
            os._exit(3)
        json.loads(answer["document"]["body"])
        if self.phase == "resyncing":
            self.phase = "serving"
            self._status(say)
            return
        Path(self.order["endpoint"]).touch()
        self.phase = "serving"
        self._status(say)

    def _status(self, say: Say) -> None:
        needed = [t["replica"] for t in self.order["targets"]]
        phase = "serving" if self.phase == "resyncing" else self.phase
        say(
            {
                "type": "status",
                "phase": phase,
                "waits_for": None,
                "needed": needed,
                "clients": 0,
                "resyncs": self.resyncs,
            }
        )

    def _ask(self, say: Say, ask: dict[str, Any]) -> None:
        self.asks += 1
        say({"type": "ask", "id": self.asks, "ask": {**ask, "epoch": self.order["epoch"]}})

    def _ask_closed(self, say: Say) -> None:
        self._ask(say, {"event": "session_closed", "clean": True, "why": ""})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", required=True)
    parser.add_argument("--lock", required=True)
    options = parser.parse_args()
    take_lock(options.lock)
    folder = Path(options.order).parent
    note(folder, f"start {os.getpid()}")
    if (folder.parent / "hang").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if (folder.parent / "mute").exists():
        signal.pause()
    if (folder.parent / "fail").exists():
        print("the fake engine fails", file=sys.stderr)
        sys.exit(4)
    order = json.loads(Path(options.order).read_text())
    asyncio.run(serve(Engine(order, folder), order["agent"]))


main()
