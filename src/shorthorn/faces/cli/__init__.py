"""The command line. Exit codes: 0 done, 1 refused or failed, 2 wrong command line.

One module a group of commands under `commands`; each parses, calls the API and renders. Imports are lazy: a command
starts only what it needs.
"""

import sys


def main() -> int:
    """Run one command; returns the exit code."""
    from shorthorn.faces.cli.app import run  # noqa: PLC0415 - keeps `import shorthorn.faces.cli` free of cost

    return run(sys.argv[1:])
