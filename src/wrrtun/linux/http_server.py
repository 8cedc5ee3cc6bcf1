"""A web server of a few fixed documents: GET and HEAD only, one request a connection.

h11 reads what comes in (a parser of one's own is where web servers break); everything else is
here: asyncio's streams, a few clients at a time, each with little time, and nothing of a request
ever goes into an answer. A larger server would bring routing, forms, files and sessions, which
this one must not have.

Host must be an address, `localhost` or this machine's name: a web page elsewhere whose name was
made to resolve to this machine (DNS rebinding) is refused, and no other origin may read answers.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

import h11

from wrrtun.core.errors import ConfigError

MAX_CLIENTS: Final = 32
CLIENT_SECONDS: Final = 5.0  # for a client to ask, and again to read its answer
MAX_REQUEST_BYTES: Final = 16 << 10
READ_BYTES: Final = 1 << 14

_TEXT: Final = "text/plain; charset=utf-8"
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


class Document(NamedTuple):
    """What is served at a path; `policy` is its Content-Security-Policy."""

    kind: str
    body: bytes
    policy: str = "default-src 'none'"


class HttpServer:
    """Serves documents until it is closed, on the loop that started it."""

    def __init__(self, find: Callable[[str], Document | None]) -> None:
        """Prepare to serve; `find` makes the document of a path, at once."""
        self._find = find
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._host_name = socket.gethostname().lower()

    async def start(self, address: IPv4Address | IPv6Address, port: int) -> None:
        """Listen; ConfigError when that is not possible."""
        try:
            self._server = await asyncio.start_server(
                self._serve, str(address), port, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            raise ConfigError(f"no web page on {address} port {port}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in tuple(self._clients):
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.transport.abort()
            return
        self._clients.add(writer)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                request = await _read_request(connection, reader)
            if request is not None:
                writer.write(self._answer(connection, request))
                async with asyncio.timeout(CLIENT_SECONDS):
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, OSError, h11.ProtocolError):
            pass
        finally:
            self._clients.discard(writer)
            writer.transport.abort()

    def _answer(self, connection: h11.Connection, request: h11.Request) -> bytes:
        status, document = self._choose(request)
        headers = [
            *_HEADERS,
            ("Content-Type", document.kind),
            ("Content-Length", str(len(document.body))),
            ("Content-Security-Policy", document.policy),
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        response = h11.Response(status_code=status, headers=headers, reason=status.phrase)
        parts = [connection.send(response)]
        if request.method != b"HEAD":
            parts.append(connection.send(h11.Data(data=document.body)))
        parts.append(connection.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def _choose(self, request: h11.Request) -> tuple[HTTPStatus, Document]:
        hosts = [value for name, value in request.headers if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("ascii", "replace")):
            text = b"This server answers to its address and to localhost only.\n"
            return HTTPStatus.MISDIRECTED_REQUEST, Document(_TEXT, text)
        if request.method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, Document(_TEXT, b"GET only.\n")
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        document = self._find(path)
        if document is None:
            return HTTPStatus.NOT_FOUND, Document(_TEXT, b"There is nothing here.\n")
        return HTTPStatus.OK, document

    def _is_ours(self, host: str) -> bool:
        """Tell whether Host cannot be a foreign name that resolves to this machine."""
        bracketed, _, rest = host[1:].partition("]") if host.startswith("[") else ("", "", "")
        name, _, port = (bracketed, "", rest[1:]) if bracketed else host.partition(":")
        if port and not port.isdecimal():
            return False
        if name.lower() in ("localhost", self._host_name):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> h11.Request | None:
    """Read the head of one request; None when the client left. A body is not looked at."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await reader.read(READ_BYTES))
