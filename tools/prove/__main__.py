"""`python -m tools.prove [--only STEP …] [--render]`: run the proofs, keep what they said, write docs/proofs.md. Exit 0: all hold."""

import argparse
import sys
import time

from tools.prove.page import render
from tools.prove.results import PAGE, Result, findings, load, save
from tools.prove.steps import STEPS, NothingSaid


def main() -> int:
    """Each step is kept as soon as it is done."""
    parser = argparse.ArgumentParser(prog="tools.prove", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(STEPS), default=tuple(STEPS), metavar="STEP")
    parser.add_argument("--render", action="store_true", help="run nothing, write the page anew")
    arguments = parser.parse_args()
    results = load()
    failed = []
    for name in () if arguments.render else arguments.only:
        result = _run(name)
        results[name] = result
        save(results)
        print(f"{'ok' if result.ok else 'FAILED'}: {name}, {result.seconds:.0f} s", flush=True)
        if not result.ok:
            failed.append(name)
    PAGE.write_text(render(results, findings()))
    return 1 if failed else 0


def _run(name: str) -> Result:
    began = time.monotonic()
    try:
        return STEPS[name](lambda line: print(f"{name}: {line}", flush=True))
    except NothingSaid as error:
        print(error, file=sys.stderr)
        return Result(False, time.monotonic() - began, name, {"error": "it said nothing that can be read"})


if __name__ == "__main__":
    sys.exit(main())
