"""Two machines joined by a cable: namespaces, a veth pair, addresses of both families, sockets."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from tests.conftest import Namespace
from wrrtun.linux.udp import ClientSocket, ServerSocket

NODAD = 0x02
PORT = 5000
HOSTS = ["10.1.0.2", "fd01::2"]
BATCH = b"".join(b"%04d" % number * 350 for number in range(39)) + b"the last one is shorter"

MakeClient = Callable[..., ClientSocket]


class Wire:
    """`here` has device a with 10.1.0.1 and fd01::1, `far` has device b with .2, .3 of both."""

    def __init__(self, make_namespace: Callable[[], Namespace]) -> None:
        self.here = make_namespace()
        self.far = make_namespace()
        with self.here:
            write_sysctl("net/ipv6/conf/default/accept_dad", 0)  # else a second or two of asking
            self.ip_here = IPRoute()
        with self.far:
            write_sysctl("net/ipv6/conf/default/accept_dad", 0)
            self.ip_far = IPRoute()
        self.connect()

    def connect(self) -> None:
        with self.here:
            self.ip_here.link(
                "add",
                ifname="a",
                kind="veth",
                peer={"ifname": "b", "net_ns_fd": self.far.descriptor},
            )
        set_up(self.ip_here, "a", "10.1.0.1", "fd01::1")
        set_up(self.ip_far, "b", "10.1.0.2", "10.1.0.3", "fd01::2", "fd01::3")

    def close(self) -> None:
        self.ip_here.close()
        self.ip_far.close()


def index_of(ip: IPRoute, name: str) -> int:
    index: int = ip.link_lookup(ifname=name)[0]
    return index


def set_up(ip: IPRoute, name: str, *addresses: str) -> None:
    """Set a device up and give it addresses of /24 and /64."""
    ip.link("set", index=index_of(ip, name), state="up")
    for address in addresses:
        extra = {"prefixlen": 64, "flags": NODAD} if ":" in address else {"prefixlen": 24}
        ip.addr("add", index=index_of(ip, name), address=address, **extra)


def received(
    at: Any, count: int = 1, size_bytes: int = 0, patience_seconds: float = 5.0
) -> list[tuple[Any, ...]]:
    """Receive at least `count` batches and `size_bytes`, as (bytes, segment_bytes, ...)."""
    buffer = bytearray(65536)
    batches: list[tuple[Any, ...]] = []
    give_up_at = time.monotonic() + patience_seconds
    while len(batches) < count or sum(len(batch[0]) for batch in batches) < size_bytes:
        left_seconds = give_up_at - time.monotonic()
        assert left_seconds > 0, f"{len(batches)} batches came, {count} were due"
        select.select([at], [], [], left_seconds)
        while (got := at.receive_into(buffer)) is not None:
            batches.append((bytes(buffer[: got[0]]), *got[1:]))
    return batches


def eventually(holds: Callable[[], bool], patience_seconds: float = 5.0) -> None:
    give_up_at = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(0.005)


def write_sysctl(name: str, value: int) -> None:
    """Set a sysctl of the namespace that the caller is in."""
    Path("/proc/sys", name).write_text(str(value))


@pytest.fixture
def wire(make_namespace: Callable[[], Namespace]) -> Iterator[Wire]:
    made = Wire(make_namespace)
    yield made
    made.close()


@pytest.fixture
def server(wire: Wire) -> Iterator[ServerSocket]:
    with wire.far:
        made = ServerSocket(None, PORT)
    yield made
    made.close()


@pytest.fixture
def client_to(wire: Wire) -> Iterator[MakeClient]:
    with ExitStack() as opened:

        def make(
            host: str, port: int = PORT, source: str | None = None, device: str | None = "a"
        ) -> ClientSocket:
            with wire.here:
                made = ClientSocket(
                    (ip_address(host), port), device, ip_address(source) if source else None
                )
            opened.callback(made.close)
            return made

        yield make


def datagrams(batches: list[tuple[bytes, int]]) -> list[bytes]:
    """Cut batches as (bytes, segment_bytes, ...) into their datagrams."""
    return [
        batch[0][start : start + batch[1]]
        for batch in batches
        for start in range(0, max(len(batch[0]), 1), batch[1])
    ]


def whole(batches: list[tuple[Any, ...]]) -> bytes:
    return b"".join(batch[0] for batch in batches)


def option(of: ClientSocket, name: int, value: int) -> None:
    """Set a socket option behind the back of the class under test."""
    with socket.socket(fileno=os.dup(of.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, name, value)
