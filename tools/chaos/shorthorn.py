"""`python -m tools.chaos.shorthorn PROGRAMS COMMAND…`: the command line, whose agents start the programs of another folder.

For the build with mutants, which is no part of the installation.
"""

import sys
from pathlib import Path

from shorthorn import native
from shorthorn.faces.cli import main

if __name__ == "__main__":
    native._PROGRAMS = Path(sys.argv.pop(1))  # noqa: SLF001 - the installation has one place for them
    sys.argv[0] = "shorthorn"
    sys.exit(main())
