"""A network of this test's own: a namespace for each host, joined by a bridge in one more. Links are cut, slowed and made lossy.

Nothing of it is in the machine's own network: no interface, no address, no rule. Names carry a prefix and this process's
id; everything goes with the block, and what a killed run left is swept by the next one. Needs root; `why_not` says so.
"""

import contextlib
import ctypes
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeVar

from tests.support.programs import program, run

PREFIX = "shorthorn"
NETWORK = "192.0.2"
"""TEST-NET-1 (RFC 5737): addresses for documentation, which lead nowhere outside."""

LOSS_PERCENT = 20
_SHAPES = (
    ("netem", "delay", "30ms", "20ms", "rate", "4mbit"),
    ("tbf", "rate", "4mbit", "burst", "32kbit", "latency", "400ms"),
)
"""The first that this kernel has; the other then fails, since the device has one already."""

TOOL_S = 20.0
_NAMES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

Made = TypeVar("Made")

_RULES = f"""table inet {PREFIX} {{
  set cut {{ type ipv4_addr; }}
  set lossy {{ type ipv4_addr; }}
  chain arrives {{
    type filter hook input priority 0; policy accept;
    ip saddr @cut drop
    ip saddr @lossy numgen random mod 100 < {LOSS_PERCENT} drop
  }}
}}
"""


class Network(Protocol):
    """Hosts with an address each, on one machine. `cuts`: whether links between them can be cut."""

    @property
    def cuts(self) -> bool: ...

    @property
    def kind(self) -> str:
        """For people."""

    def address(self, host: str) -> str:
        """Where the programs of a host listen."""

    def command(self, host: str) -> tuple[str, ...]:
        """What a command line begins with to run on a host."""

    def connect(self, host: str, address: tuple[str, int], timeout_s: float) -> socket.socket:
        """A TCP connection from a host."""


class Loopback:
    """Where namespaces are not to be had: every host has a loopback address of its own, and no link can be cut."""

    cuts = False
    kind = "loopback addresses"

    def __init__(self, hosts: Sequence[str]) -> None:
        self._addresses = {host: f"127.0.1.{i}" for i, host in enumerate(hosts, 1)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    def address(self, host: str) -> str:
        return self._addresses[host]

    def command(self, host: str) -> tuple[str, ...]:
        return ()

    def connect(self, host: str, address: tuple[str, int], timeout_s: float) -> socket.socket:
        return socket.create_connection(address, timeout_s)


class Namespaces:
    """A context manager. Cuts are made at the receiver: what one host sends another is lost, on connections that are open too."""

    cuts = True
    kind = "network namespaces"

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = tuple(hosts)
        self._addresses = {host: f"{NETWORK}.{i}" for i, host in enumerate(hosts, 1)}
        self._hub = _name("hub")

    def __enter__(self) -> Self:
        _sweep()
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._remove()

    def address(self, host: str) -> str:
        return self._addresses[host]

    def command(self, host: str) -> tuple[str, ...]:
        """Not `ip netns exec`, which would hide mounts that are made later."""
        return (program("nsenter"), f"--net={_NAMES / _name(host)}", "--")

    def connect(self, host: str, address: tuple[str, int], timeout_s: float) -> socket.socket:
        return _inside(_NAMES / _name(host), lambda: socket.create_connection(address, timeout_s))

    @contextlib.contextmanager
    def cut(self, links: Sequence[tuple[str, str]]) -> Iterator[None]:
        """What the first of each pair sends to the second is lost, for the length of the block."""
        with self._marked("cut", links):
            yield

    @contextlib.contextmanager
    def lossy(self, links: Sequence[tuple[str, str]]) -> Iterator[None]:
        """A part of it is lost."""
        with self._marked("lossy", links):
            yield

    @contextlib.contextmanager
    def slow(self, host: str) -> Iterator[None]:
        """What a host sends goes at a crawl, for the length of the block; late and out of step where the kernel can do that."""
        device = ["-n", _name(host), "qdisc"]
        tried = [
            run("tc", *device, "add", "dev", "eth0", "root", *shape, timeout_s=TOOL_S, check=False)
            for shape in _SHAPES
        ]
        assert any(done.returncode == 0 for done in tried), [done.stderr for done in tried]
        try:
            yield
        finally:
            run("tc", *device, "del", "dev", "eth0", "root", timeout_s=TOOL_S)

    @contextlib.contextmanager
    def _marked(self, what: str, links: Sequence[tuple[str, str]]) -> Iterator[None]:
        """A link that is marked already, by an overlapping block, stays so until that one ends."""
        with contextlib.ExitStack() as stack:
            for source, target in links:
                if self._mark("add", what, source, target):
                    stack.callback(self._mark, "delete", what, source, target)
            yield

    def _mark(self, do: str, what: str, source: str, target: str) -> bool:
        """False: it was so already."""
        element = [do, "element", "inet", PREFIX, what, "{", self._addresses[source], "}"]
        if do == "add":
            element[0] = "create"  # fails for one that is there
        done = subprocess.run(
            [*self.command(target), program("nft"), *element],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOOL_S,
            check=False,
        )
        if done.returncode != 0 and "exists" not in done.stderr:
            raise AssertionError(f"nft {' '.join(element)}: {done.stderr}")
        return done.returncode == 0

    def _make(self) -> None:
        _ip("netns", "add", self._hub)
        _ip("-n", self._hub, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", self._hub, "link", "set", "bridge0", "up")
        for host, address in self._addresses.items():
            space = _name(host)
            _ip("netns", "add", space)
            peer = ["type", "veth", "peer", "name", host, "netns", self._hub]
            _ip("-n", space, "link", "add", "eth0", *peer)
            _ip("-n", self._hub, "link", "set", "dev", host, "master", "bridge0", "up")
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")
            subprocess.run(
                [*self.command(host), program("nft"), "-f", "-"],
                input=_RULES,
                text=True,
                timeout=TOOL_S,
                check=True,
            )

    def _remove(self) -> None:
        for space in (*map(_name, self._hosts), self._hub):
            if (_NAMES / space).exists():
                _ip("netns", "delete", space)


def why_not() -> str:
    """Why this machine has no namespaces for us; empty when it has. Makes one to see."""
    probe = _name("probe")
    done = run("ip", "netns", "add", probe, timeout_s=TOOL_S, check=False)
    if done.returncode != 0:
        return done.stderr.strip() or f"exit {done.returncode}"
    _ip("netns", "delete", probe)
    return ""


def network(hosts: Sequence[str]) -> tuple[Namespaces | Loopback, str]:
    """The best network that this machine has for us, and why it is not a better one."""
    why = why_not()
    if why:
        return Loopback(hosts), why
    return Namespaces(hosts), ""


def _ip(*arguments: str) -> None:
    run("ip", *arguments, timeout_s=TOOL_S)


def _name(host: str) -> str:
    return f"{PREFIX}-{os.getpid()}-{host}"


def _sweep() -> None:
    """Remove what a run left whose process is gone: kill -9 leaves no time to tidy."""
    for path in sorted(_NAMES.glob(f"{PREFIX}-*")) if _NAMES.exists() else ():
        match = re.fullmatch(rf"{PREFIX}-([0-9]+)-[a-z0-9]+", path.name)
        if match and not Path("/proc", match[1]).exists():
            _ip("netns", "delete", path.name)


def _inside(space: Path, make: Callable[[], Made]) -> Made:
    """Do it on a thread that has entered the namespace: a thread's network is its own, and a socket keeps the one it began in."""
    made: list[Made] = []
    failed: list[BaseException] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with space.open("rb") as file:
                if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"can't enter {space}")
            made.append(make())
        except BaseException as error:  # noqa: BLE001 - raised below, by the caller's thread
            failed.append(error)

    thread = threading.Thread(target=enter, name="inside a namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
