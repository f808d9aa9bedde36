"""`python -m shorthorn`: the command line."""

import sys

from shorthorn.faces.cli import main

sys.exit(main())
