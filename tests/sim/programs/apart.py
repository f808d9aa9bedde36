"""Tells stories in a process of its own: python -m tests.sim.programs.apart SEED…

The environment chooses the build of the native module and the rule to be taken out (`shorthorn.native.build`). Prints a
line a seed: a digest, or what a client has read that can't be.
"""

import sys

from shorthorn.native.build import use_build_of_environment


def main() -> None:
    use_build_of_environment()
    # Only now: they import the native module.
    from tests.sim.programs.stories import Story, WrongError  # noqa: PLC0415

    for seed in sys.argv[1:]:
        try:
            print(seed, "holds", Story(int(seed)).tell())
        except WrongError as error:
            print(seed, "wrong", error)


if __name__ == "__main__":
    main()
