"""The Unix socket of a running daemon: one request line in, one document out, closed.

Only the socket's owner may connect (mode 0600). A client that sends too much, or too slowly, or
does not read its answer, is cut off; it can hold up nothing but itself.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wrrtun.core.errors import ConfigError

MODE: Final = 0o600
MAX_REQUEST_BYTES: Final = 1024
MAX_ANSWER_BYTES: Final = 16 << 20
MAX_CLIENTS: Final = 8
CLIENT_SECONDS: Final = 2.0  # for a client to ask, and again to read its answer
READ_BYTES: Final = 1 << 16


class ControlSocket:
    """Answers requests until it is closed, on the loop that started it."""

    def __init__(self, path: Path, answer: Callable[[str], bytes]) -> None:
        """Prepare to answer at `path`; `answer` turns a request into a document, at once."""
        self._path = path
        self._answer = answer
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Make the socket and listen; ConfigError when the path cannot be used."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(self._path)
            # Set before bind, so that there is no moment at which others could connect.
            os.fchmod(listener.fileno(), MODE)
            listener.bind(str(self._path))
            self._inode = self._path.lstat().st_ino
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listener, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            listener.close()
            raise ConfigError(f"no control socket at {self._path}: {error}") from error
        except ConfigError:
            listener.close()
            raise

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.transport.abort()
            return
        self._clients.add(writer)
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                line = await reader.readuntil(b"\n")
            writer.write(self._answer(line[:-1].decode("ascii", "replace")))
            async with asyncio.timeout(CLIENT_SECONDS):
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._clients.discard(writer)
            writer.transport.abort()

    async def close(self) -> None:
        """Stop answering and remove the socket; twice is harmless."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for client in tuple(self._clients):
            client.transport.abort()
        with contextlib.suppress(OSError):
            if self._path.lstat().st_ino == self._inode:  # and not a later daemon's
                self._path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that died; ConfigError when it is alive or no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is not a socket: remove it, or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CLIENT_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"another wrrtun answers at {path}: stop it, or name another path")


def fetch(path: Path, request: str, timeout_seconds: float) -> bytes:
    """Send one request to the daemon at `path` and return its whole answer.

    OSError (TimeoutError is one) when nothing answers, or not all of it within the time.
    """
    give_up_at = time.monotonic() + timeout_seconds
    parts: list[bytes] = []
    size_bytes = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_seconds)
        client.connect(str(path))
        client.sendall(request.encode() + b"\n")
        while True:
            left_seconds = give_up_at - time.monotonic()
            if left_seconds <= 0:
                raise TimeoutError(errno.ETIMEDOUT, f"no whole answer in {timeout_seconds} s")
            client.settimeout(left_seconds)
            part = client.recv(READ_BYTES)
            if not part:
                break
            parts.append(part)
            size_bytes += len(part)
            if size_bytes > MAX_ANSWER_BYTES:
                raise OSError(errno.EMSGSIZE, "the answer is too long to be a daemon's")
    if not parts:
        raise ConnectionResetError(errno.ECONNRESET, "the daemon closed without an answer")
    return b"".join(parts)
