"""A web server for downloads: GET /N answers with N bytes, the same ones each time.

Keeps connections open as HTTP/1.1 does, and knows nothing but GET.
"""

import argparse
import asyncio
import hashlib
import random
import re
import socket
from collections.abc import Iterator
from typing import Final

CHUNK_BYTES: Final = 1 << 16
_CHUNK: Final = random.Random(1).randbytes(CHUNK_BYTES)  # nothing on the way can compress it


def content(size_bytes: int) -> Iterator[bytes]:
    """What a file of that size holds, in pieces."""
    while size_bytes > 0:
        yield _CHUNK[:size_bytes]
        size_bytes -= CHUNK_BYTES


def digest(size_bytes: int) -> str:
    """SHA-256 of a file of that size, in hex."""
    hashed = hashlib.sha256()
    for piece in content(size_bytes):
        hashed.update(piece)
    return hashed.hexdigest()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests until the client closes it, or says something else."""
    try:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            asked = re.match(rb"GET /(\d+) HTTP/1\.1\r\n", request)
            if asked is None:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                break
            size_bytes = int(asked[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size_bytes)
            for piece in content(size_bytes):
                writer.write(piece)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass  # the client has gone, as it may
    finally:
        writer.close()


async def _run(address: str, port: int, congestion: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=64) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        server = await asyncio.start_server(_serve, sock=listener)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--congestion", default="cubic")
    options = parser.parse_args()
    asyncio.run(_run(options.address, options.port, options.congestion))
