"""An agent with fake programs as a process of its own, for tests that stop it. Arguments: the server's URL, the data folder."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from shorthorn.links import server_link
from shorthorn.node import NodeOptions, run_node
from tests.agent import records
from tests.agent.bench import PROGRAMS

SILENCE_S = 3.0
"""Shorter than in earnest; longer than between two empty lines of the fake server."""


def main() -> None:
    """Run until told to stop."""
    url, data = sys.argv[1:]
    server_link.SILENCE_S = SILENCE_S  # type: ignore[misc]
    options = NodeOptions(
        server=url, node=records.NODE, data=Path(data), machine_id="m", boot_id="b", programs=PROGRAMS
    )
    asyncio.run(run_node(options))


if __name__ == "__main__":
    main()
