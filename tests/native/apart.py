"""Tells a story in a process of its own: python -m tests.native.apart STORY SEED… [--without RULE --native FILE]

With `--native` the module of that file takes the place of the package's: the build with mutants. Prints a line a seed:
a digest of the trace, or what no history explains.
"""

import argparse
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

NAME = "shorthorn.native._native"


def load(file: Path) -> ModuleType:
    """Loads a build of the native module in the place of the package's."""
    spec = importlib.util.spec_from_file_location(NAME, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.native.apart")
    parser.add_argument("story")
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--native", type=Path)
    parser.add_argument("--without", default="")
    given = parser.parse_args()
    if given.native:
        native = load(given.native)
        assert native.choose_mutant(given.without), f"no rule has the name {given.without!r}"
    # Only now: they import the native module.
    from tests.native.register import Impossible  # noqa: PLC0415
    from tests.native.stories import STORIES  # noqa: PLC0415

    for seed in given.seeds:
        try:
            trace = "\n".join(STORIES[given.story](seed).trace)
            print(seed, "holds", hashlib.sha256(trace.encode()).hexdigest())
        except Impossible as error:
            print(seed, "impossible", error)


if __name__ == "__main__":
    main()
