"""Simulates with one rule out, in a process of its own: python -m tests.mutants.apart NAME SEED… [--native FILE]

With `--native` the rule is one of the cores, and FILE a build with the Cargo feature `mutants`; without it NAME is a Python switch,
or empty: all rules in. Prints one line of JSON: the first seed that fails and why, or nothing but what was spent.
"""

import argparse
import json
import time
from contextlib import nullcontext
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.mutants.apart")
    parser.add_argument("name")
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--controls", type=int)
    parser.add_argument("--native", type=Path)
    given = parser.parse_args()
    if given.native:
        from shorthorn.native.build import use_build  # noqa: PLC0415 - before anything loads the module

        use_build(given.native, given.name)
    from shorthorn.sim.faults.draw import draw  # noqa: PLC0415 - it loads the native module
    from shorthorn.sim.runs.run import Run  # noqa: PLC0415 - likewise
    from tests.mutants.switches import out  # noqa: PLC0415 - likewise

    began = time.process_time()
    shape: dict[str, object] = {"controls": given.controls}
    for seed in given.seeds:
        with nullcontext() if given.native else out(given.name):
            outcome = Run(draw(seed, 1, shape)).execute()
        if outcome.failure is not None:
            failure = outcome.failure
            spent = round(time.process_time() - began, 1)
            said = {"seed": seed, "rule": failure.rule, "what": failure.what, "at_s": failure.at_s}
            print(json.dumps({**said, "cpu_s": spent}))
            return
    print(json.dumps({"cpu_s": round(time.process_time() - began, 1)}))


if __name__ == "__main__":
    main()
