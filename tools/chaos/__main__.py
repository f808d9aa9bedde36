"""`python -m tools.chaos --minutes 10 --nodes 3`: exit 0 only if nothing was wrong. Run by `make chaos`."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tools.chaos.run import Options, run


def main() -> int:
    """One run. When it fails its files are kept."""
    parser = argparse.ArgumentParser(prog="tools.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shorthorn-chaos-"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    try:
        summary = run(Options(arguments.minutes, arguments.nodes, arguments.seed, folder), say)
    except BaseException:
        print(f"FAILED, seed {arguments.seed}; its files are in {folder}", flush=True)
        raise
    print(summary)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
