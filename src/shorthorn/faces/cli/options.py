"""Options that every command has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from shorthorn.errors import Invalid
from shorthorn.faces.cli.client import Client, find_server
from shorthorn.faces.cli.render import Output


class WrongLine(Invalid):
    """The command line itself makes no sense: exit code 2. Raised before anything is done."""

    code = "usage"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Where the server is and how to print."""

    server: Annotated[
        str | None, Parameter(help="URL of the server; else SHORTHORN_SERVER or the data folder says.")
    ] = None
    data: Annotated[
        Path | None, Parameter(help="Data folder of a cluster on this machine; else SHORTHORN_DATA.")
    ] = None
    output: Annotated[Output, Parameter(help="text for people, json for programs.")] = "text"

    def client(self) -> Client:
        """The API."""
        return Client(find_server(self.server, self.data))

    @property
    def json(self) -> bool:
        """Whether a program reads."""
        return self.output == "json"


DEFAULT = Common()
