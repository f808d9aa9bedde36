"""Which build of the native module this process uses: the package's, or another one, such as that with mutants.

To be called before anything imports `shorthorn.native._native`: a command's first act. Never imports it itself.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

from shorthorn.errors import Invalid, NotFound

NAME: Final = "shorthorn.native._native"
FILE_VARIABLE: Final = "SHORTHORN_NATIVE"
RULE_VARIABLE: Final = "SHORTHORN_MUTANT"
"""The same one as the two programs of the build with mutants look at."""


def use_build(file: Path, without: str = "") -> None:
    """Load this build in the place of the package's, and take the named rule out of it, if it is a build with mutants.

    Raises `NotFound` when there is no such file, `Invalid` when it is no such module or knows no such rule. Raises
    `RuntimeError` when the module was imported before: whoever did would keep the other one.
    """
    if NAME in sys.modules:
        raise RuntimeError(f"{NAME} is imported already: too late to choose its build")
    if not file.is_file():
        raise NotFound(f"no build of the native module is at {file}; in a checkout: make build-mutants")
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(file))
    spec = importlib.util.spec_from_file_location(NAME, file, loader=loader)
    if spec is None:
        raise Invalid(f"{file} is no native module")
    try:
        module = importlib.util.module_from_spec(spec)
    except ImportError as error:
        raise Invalid(f"{file} is no native module: {error}") from error
    loader.exec_module(module)
    choose = getattr(module, "choose_mutant", None)
    if choose is None and without:
        raise Invalid(f"{file} is a build without mutants, so no rule can be taken out of it")
    if choose is not None and not choose(without):
        raise Invalid(f"no rule has the name {without!r}")
    sys.modules[NAME] = module
    sys.modules["shorthorn.native"].__dict__["_native"] = module


def use_build_of_environment() -> None:
    """The same as the environment says: file and rule. Nothing happens without a file. Raises as `use_build`."""
    file = os.environ.get(FILE_VARIABLE)
    if file:
        use_build(Path(file), os.environ.get(RULE_VARIABLE, ""))
