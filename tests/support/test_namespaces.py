"""The network of namespaces cuts what it says and nothing else, and leaves nothing behind."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import namespaces
from tests.support.namespaces import Loopback, Namespaces, why_not

HOSTS = ("n1", "n2", "n3")
ECHO = """
import socket, sys
listener = socket.create_server((sys.argv[1], 7))
print("up", flush=True)
while True:
    peer, _ = listener.accept()
    while data := peer.recv(100):
        peer.sendall(data)
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Namespaces]:
    if os.geteuid() != 0:
        pytest.skip(f"only root makes namespaces: {why_not()}")
    assert why_not() == ""
    with Namespaces(HOSTS) as network:
        yield network


@contextlib.contextmanager
def echo(network: Namespaces, host: str) -> Iterator[None]:
    command = [*network.command(host), sys.executable, "-c", ECHO, network.address(host)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"up\n"
            yield
        finally:
            server.kill()


def answers(client: socket.socket, word: bytes) -> bool:
    client.settimeout(0.5)
    client.sendall(word)
    try:
        return client.recv(100) == word
    except TimeoutError:
        return False


def test_a_cut_holds_on_an_open_connection_and_ends(network: Namespaces) -> None:
    with echo(network, "n2"), network.connect("n1", (network.address("n2"), 7), 5) as client:
        assert answers(client, b"before")
        with network.cut([("n2", "n1")]):
            assert not answers(client, b"during")
        client.settimeout(10)
        assert client.recv(100) == b"during", "it was carried out, only its answer was late"


def test_a_cut_is_between_two_hosts_only_and_may_overlap(network: Namespaces) -> None:
    with echo(network, "n2"), network.connect("n3", (network.address("n2"), 7), 5) as other:
        with network.cut([("n1", "n2"), ("n2", "n1")]):
            assert answers(other, b"others go on")
            with network.cut([("n1", "n2"), ("n3", "n2")]):
                assert not answers(other, b"now not")
            with pytest.raises(TimeoutError):
                network.connect("n1", (network.address("n2"), 7), 0.5)
        network.connect("n1", (network.address("n2"), 7), 5).close()


def test_slow_and_lossy_links_end(network: Namespaces) -> None:
    with network.slow("n1"), network.lossy([("n1", "n2")]):
        shown = subprocess.run(
            ["tc", "-n", f"shorthorn-{os.getpid()}-n1", "qdisc", "show", "dev", "eth0"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "4Mbit" in shown.stdout
    with echo(network, "n2"), network.connect("n1", (network.address("n2"), 7), 5) as client:
        assert all(answers(client, b"%d" % i) for i in range(50))


def test_what_a_killed_run_left_is_swept(network: Namespaces) -> None:
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    left = f"shorthorn-{ended.stdout.strip()}-n1"
    subprocess.run(["ip", "netns", "add", left], check=True)
    namespaces._sweep()
    assert not Path("/run/netns", left).exists()
    assert Path(f"/run/netns/shorthorn-{os.getpid()}-n1").exists()


def test_nothing_is_left(network: Namespaces) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(namespaces, "PREFIX", "shorthorntest")
        with Namespaces(("a", "b")):
            assert len(list(Path("/run/netns").glob("shorthorntest-*"))) == 3
        assert not list(Path("/run/netns").glob("shorthorntest-*"))


def test_without_namespaces_hosts_have_loopback_addresses() -> None:
    network = Loopback(HOSTS)
    assert len({network.address(host) for host in HOSTS}) == 3
    assert all(network.address(host).startswith("127.") for host in HOSTS)
    assert not network.cuts
