"""A browser, as far as the network sees it: objects of a page over a few connections.

Writes what it took as JSON: of each page the completion time, or null when it was given up, and the
time of each object.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

READ_BYTES: Final = 1 << 16


@dataclass
class Page:
    """How far a page has come."""

    sizes: Iterator[int]
    object_seconds: list[float] = field(default_factory=list)
    payload_bytes: int = 0


async def _fetch(where: tuple[str, int], device: str | None, page: Page) -> None:
    """Get objects over one connection until there are none left."""
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        await asyncio.get_running_loop().sock_connect(sock, where)
        reader, writer = await asyncio.open_connection(sock=sock)
        for size_bytes in page.sizes:
            began = time.monotonic()
            writer.write(b"GET /%d HTTP/1.1\r\nHost: page\r\n\r\n" % size_bytes)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if length is None or int(length[1]) != size_bytes:
                raise ValueError(f"an answer to something else: {head[:80]!r}")
            left = size_bytes
            while left:
                data = await reader.read(min(left, READ_BYTES))
                if not data:
                    raise ConnectionError("the server closed the connection in mid-object")
                left -= len(data)
                page.payload_bytes += len(data)
            page.object_seconds.append(time.monotonic() - began)
        writer.close()


async def _load(
    options: argparse.Namespace, sizes: list[int], deadline: float
) -> tuple[float | None, Page]:
    """Get one page over new connections; None for its time when it was given up."""
    page = Page(iter(sizes))
    began = time.monotonic()
    where = (options.address, options.port)
    try:
        async with asyncio.timeout(deadline - began), asyncio.TaskGroup() as group:
            for _ in range(options.connections):
                group.create_task(_fetch(where, options.device, page))
    except TimeoutError:
        return None, page
    return time.monotonic() - began, page


async def _run(options: argparse.Namespace) -> dict[str, object]:
    rng = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    completion: list[float | None] = []
    objects: list[float] = []
    payload_bytes = 0
    while not completion or time.monotonic() < end:
        sizes = [rng.randint(options.smallest, options.largest) for _ in range(options.objects)]
        seconds, page = await _load(options, sizes, end + options.grace)
        completion.append(seconds)
        objects += page.object_seconds
        payload_bytes += page.payload_bytes
    return {"pages": completion, "objects": objects, "bytes": payload_bytes}


def main() -> None:
    """Read the options, load pages, write what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--device")
    for name in ("objects", "connections", "smallest", "largest", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("seconds", "grace"):
        parser.add_argument(f"--{name}", type=float, required=True)
    json.dump(asyncio.run(_run(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
