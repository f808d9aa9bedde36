"""The HTTP API as the command line uses it: one call, one answer, errors as `ShorthornError`.

Standard library only: a command should start fast. Finds the server by `--server`, `SHORTHORN_SERVER`, or the data
folder's `server.json`.
"""

import http.client
import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shorthorn.errors import Damaged, Invalid, NotFound, ShorthornError, Unavailable

TIMEOUT_S = 30.0


class Refusal(ShorthornError):
    """What the server answered when it refused; `code` is the problem's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.problem_code = code


def default_data() -> Path:
    """Where a cluster on this machine lives unless told otherwise."""
    if (set_ := os.environ.get("SHORTHORN_DATA")) is not None:
        return Path(set_)
    if os.geteuid() == 0:
        return Path("/var/lib/shorthorn")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "shorthorn"


def find_server(server: str | None, data: Path | None) -> str:
    """The server's URL. Raises `Unavailable` when no server is known."""
    if server is not None:
        return server
    if data is None and (url := os.environ.get("SHORTHORN_SERVER")) is not None:
        return url
    path = (data or default_data()) / "server.json"
    try:
        return str(json.loads(path.read_text("ascii"))["url"])
    except (FileNotFoundError, NotADirectoryError):
        raise Unavailable(
            f"no server is known: {path} does not exist; start one with `shorthorn up`, or name it with --server URL"
        ) from None
    except PermissionError:
        raise Unavailable(f"{path} may not be read by this user; name the server with --server URL") from None
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"{path} is not what a server writes; name the server with --server URL") from None


class Client:
    """Calls to one server."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise Invalid(f"{url!r} is not a server's URL such as http://127.0.0.1:7420")
        self.url = url
        self._host = parts.hostname
        self._port = parts.port or 80

    def call(self, method: str, path: str, body: object = None, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401
        """The decoded answer, None when it has no body."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            payload = None if body is None else json.dumps(body).encode()
            headers = {} if payload is None else {"Content-Type": "application/json"}
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read()
        except TimeoutError:
            raise Unavailable(f"the server at {self.url} did not answer within {timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the server at {self.url} does not answer: {error}") from None
        finally:
            connection.close()
        if response.status >= 400:
            raise _refusal(response.status, text)
        return json.loads(text) if text else None

    def stream(self, path: str) -> Iterator[Any]:
        """Data of server-sent events, for ever."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(response.status, response.read())
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
            raise Unavailable(f"the server at {self.url} ended the stream")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the stream from {self.url} broke: {error}") from None
        finally:
            connection.close()


def _refusal(status: int, text: bytes) -> ShorthornError:
    try:
        problem = json.loads(text)
        return Refusal(str(problem["code"]), str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        kind = NotFound if status == http.client.NOT_FOUND else Unavailable
        return kind(f"the server answered {status}; is it a Shorthorn server?")


def quoted(text: str) -> str:
    """A path segment."""
    return urllib.parse.quote(text, safe="")
