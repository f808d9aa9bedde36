"""`python -m tools.chaos --minutes 10 --nodes 4`: exit 0 only if nothing was wrong, or with `--mutant` if something was. Run by `make chaos`."""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from tools.chaos.run import Bounds, Options, Outcome, run, summary

MUTANTS = Path(__file__).resolve().parents[2] / ".cache" / "mutants"


def main() -> int:
    """One run. When it fails its files are kept."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="shorthorn-chaos-"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    options = Options(arguments.minutes, arguments.nodes, arguments.seed, folder, Bounds(*arguments.bounds))
    if arguments.mutant:
        say(f"the programs run without the rule {arguments.mutant}: something must be seen")
        command = (sys.executable, "-m", "tools.chaos.shorthorn", str(arguments.programs))
        options = options._replace(shorthorn=command, environment={"SHORTHORN_MUTANT": arguments.mutant})
    try:
        outcome = run(options, say)
    except BaseException:
        print(f"FAILED, seed {arguments.seed}; its files are in {folder}", flush=True)
        raise
    print(summary(outcome))
    as_expected = bool(outcome.wrong) == bool(arguments.mutant)
    if arguments.mutant:
        print(f"{arguments.mutant}: {_found(outcome)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(_report(arguments, outcome, ok=as_expected)) + "\n")
    if as_expected:
        shutil.rmtree(folder)
        return 0
    print(f"FAILED, seed {arguments.seed}; its files are in {folder}", flush=True)
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="at least; until the bounds are reached")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument(
        "--bounds",
        type=int,
        nargs=3,
        metavar=("FAULTS", "SESSIONS", "WRITES"),
        default=Bounds(),
        help="what must have been seen",
    )
    parser.add_argument(
        "--mutant", default="", help="take this rule out of the programs, and expect that something is seen"
    )
    parser.add_argument("--programs", type=Path, default=MUTANTS, help="where the programs with mutants are")
    parser.add_argument("--json", type=Path, help="also write what was seen to this file")
    return parser.parse_args()


def _found(outcome: Outcome) -> str:
    how = f"{outcome.seconds:.0f} s, {sum(outcome.faults.values())} faults, {outcome.writes} writes"
    return f"found after {how}" if outcome.wrong else f"NOT FOUND in {how}"


def _report(arguments: argparse.Namespace, outcome: Outcome, *, ok: bool) -> dict[str, object]:
    return {"ok": ok, "seed": arguments.seed, "mutant": arguments.mutant, **outcome._asdict()}


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run in order: its processes, file systems and namespaces go, whoever asks again meanwhile."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("ended by SIGTERM")


if __name__ == "__main__":
    sys.exit(main())
