"""A small NBD client over a unix socket, and a recorder that judges what it reads by what was acknowledged to it.

Written for tests that need to see a connection break: foreign clients hide that or give up. Fixed newstyle, simple
replies, one request at a time.
Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

import contextlib
import random
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import unquote

NBD_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
OPTION_GO, REPLY_ACK, REPLY_INFO = 7, 1, 3
READ, WRITE, DISCONNECT, FLUSH, TRIM = 0, 1, 2, 3, 4
FUA = 1
EIO, ENOSPC, ESHUTDOWN = 5, 28, 108

BLOCK = 4096


class NbdError(Exception):
    """The server answered a request with an error; `errno` is NBD's."""

    def __init__(self, errno: int) -> None:
        super().__init__(f"NBD error {errno}")
        self.errno = errno


class NbdClient:
    """One connection. Raises `OSError` or `EOFError` when it breaks, `TimeoutError` when an answer does not come."""

    def __init__(self, path: str, export: str = "", timeout_s: float = 30) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._handle = 0
        try:
            self._socket.connect(path)
            self.size, self.flags = self._negotiate(export.encode())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Raises `NbdError` when refused, as do the others."""
        return self._request(READ, offset, length)

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """Acknowledged; on disks only with `fua` or after a flush."""
        self._request(WRITE, offset, len(data), data, FUA if fua else 0)

    def trim(self, offset: int, length: int) -> None:
        """What is trimmed reads as zeroes."""
        self._request(TRIM, offset, length)

    def flush(self) -> None:
        """Whatever was acknowledged is on disks."""
        self._request(FLUSH, 0, 0)

    def close(self) -> None:
        """Say goodbye if anybody listens."""
        with contextlib.suppress(OSError):  # it broke before: there is nobody to say goodbye to
            self._socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, DISCONNECT, 0, 0, 0))
        self._socket.close()

    def cut(self) -> None:
        """Break the connection, from any thread: whoever waits for an answer sees its end."""
        with contextlib.suppress(OSError):  # it is broken already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _negotiate(self, export: bytes) -> tuple[int, int]:
        magic, option_magic, _flags = struct.unpack(">QQH", self._take(18))
        if (magic, option_magic) != (NBD_MAGIC, OPTION_MAGIC):
            raise EOFError("not an NBD server")
        data = struct.pack(">I", len(export)) + export + struct.pack(">H", 0)
        self._socket.sendall(
            struct.pack(">I", 3) + struct.pack(">QII", OPTION_MAGIC, OPTION_GO, len(data)) + data
        )
        size = flags = 0
        while True:
            magic, _option, kind, length = struct.unpack(">QIII", self._take(20))
            if magic != OPTION_REPLY_MAGIC:
                raise EOFError("not an option's reply")
            payload = self._take(length)
            if kind == REPLY_ACK:
                return size, flags
            if kind != REPLY_INFO:
                raise EOFError(f"export refused: {kind:#x} {payload!r}")
            if struct.unpack(">H", payload[:2])[0] == 0:
                size, flags = struct.unpack(">QH", payload[2:12])

    def _request(self, command: int, offset: int, length: int, data: bytes = b"", flags: int = 0) -> bytes:
        self._handle += 1
        head = struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command, self._handle, offset, length)
        self._socket.sendall(head + data)
        magic, errno, handle = struct.unpack(">IIQ", self._take(16))
        if (magic, handle) != (REPLY_MAGIC, self._handle):
            raise EOFError("the answer to something else")
        if errno:
            raise NbdError(errno)
        return self._take(length) if command == READ else b""

    def _take(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._socket.recv(length - len(parts))
            if not part:
                raise EOFError("the server closed the connection")
            parts += part
        return bytes(parts)


def socket_of(endpoint: str) -> str:
    """The socket's path in an `nbd+unix:` URI."""
    return unquote(endpoint.partition("socket=")[2])


def block_of(number: int) -> bytes:
    """4 KiB that tell their number."""
    return struct.pack("<Q", number) * (BLOCK // 8)


class Recorder:
    """A client that writes and reads blocks until it is stopped, and comes back at the same path when cut.

    It knows for each block which contents a read may show: the last acknowledged, and those of writes whose answer
    never came. A read that shows anything else is a violation, kept for `stop`. A context manager.
    """

    BLOCKS = 64

    def __init__(self, path: str, export: str, seed: int = 1, reconnect_s: float = 60) -> None:
        self.path = path
        self.operations = self.reconnects = 0
        self.longest_s = 0.0
        self._export = export
        self._reconnect_s = reconnect_s
        self._random = random.Random(seed)
        self._allowed: list[set[int]] = [{0} for _ in range(self.BLOCKS)]
        self._number = 0
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self._stopping.set()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise AssertionError(f"the recorder saw: {self._failure!r}") from self._failure

    def goes_on(self, operations: int = 20, timeout_s: float = 60) -> float:
        """Wait until so many more operations were answered; returns the seconds."""
        began, goal = time.monotonic(), self.operations + operations
        while self.operations < goal:
            assert self._failure is None, f"the recorder saw: {self._failure!r}"
            took = time.monotonic() - began
            assert took < timeout_s, f"I/O did not go on within {timeout_s:g} s"
            time.sleep(0.02)
        return time.monotonic() - began

    def verify(self, path: str, export: str) -> None:
        """Read every block once over a new connection: nothing acknowledged is missing. Call it when stopped."""
        with NbdClient(path, export) as client:
            for block in range(self.BLOCKS):
                self._judge(block, client.read(block * BLOCK, BLOCK))

    def _run(self) -> None:
        try:
            self._go_on()
        except BaseException as error:  # noqa: BLE001 - told by the block's end
            self._failure = error

    def _go_on(self) -> None:
        client = NbdClient(self.path, self._export)
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._step(client)
                except (OSError, EOFError):
                    client.close()
                    client = self._come_back()
                    self.reconnects += 1
                else:
                    self.operations += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                time.sleep(0.002)  # a client like others, not a load
        finally:
            client.close()

    def _step(self, client: NbdClient) -> None:
        block = self._random.randrange(self.BLOCKS)
        kind = self._random.randrange(32)
        if kind == 0:
            client.flush()
        elif kind < 16:
            self._number += 1
            before = self._allowed[block]
            self._allowed[block] = before | {
                self._number
            }  # until the answer comes it may or may not be there
            client.write(block * BLOCK, block_of(self._number), fua=kind == 1)
            self._allowed[block] = {self._number}
        else:
            self._judge(block, client.read(block * BLOCK, BLOCK))

    def _judge(self, block: int, content: bytes) -> None:
        shown = next((n for n in self._allowed[block] if content == block_of(n)), None)
        if shown is None:
            number = struct.unpack("<Q", content[:8])[0]
            raise AssertionError(f"block {block} shows {number}, allowed are {sorted(self._allowed[block])}")
        self._allowed[block] = {shown}  # what a read has shown is decided

    def _come_back(self) -> NbdClient:
        began = time.monotonic()
        while True:
            try:
                return NbdClient(self.path, self._export)
            except (OSError, EOFError):
                if time.monotonic() - began > self._reconnect_s or self._stopping.is_set():
                    raise
                time.sleep(0.05)
