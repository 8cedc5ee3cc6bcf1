"""What each step of the data path costs for a datagram, and how often it calls for help.

A super-frame of FRAMES frames goes the whole way of bulk, step by step, on one core: out of a TAP,
cut, sealed, over a UDP socket of the loopback device, opened, put in order, joined, into a TAP.
Nanoseconds for each of its datagrams are medians of many rounds, and move with the machine and
what else it does. The counts beside them do not: system calls and AEAD calls for each megabyte of
TCP payload, counted where they are made. (A loop's own wake-ups are not here: how many frames one
finds depends on the traffic.)

The TAP needs root; without, its two steps are left out.
"""

import argparse
import contextlib
import ipaddress
import os
import socket
import statistics
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar, Final, TypeVar
from unittest import mock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from rich.console import Console
from rich.table import Table

from bench.lab.namespace import Namespace
from bench.results import Costs, now
from wrrtun.core import seal
from wrrtun.core.batch import split
from wrrtun.core.cutter import Cutter
from wrrtun.core.join import gather
from wrrtun.core.opener import Opener
from wrrtun.core.reads import Reads
from wrrtun.core.reorder import ReorderBuffer
from wrrtun.core.replay import ReplayWindow
from wrrtun.core.seal import Sealer, Suite
from wrrtun.core.slab import Slab
from wrrtun.core.train import Train
from wrrtun.core.wire import CONTINUES, OVERHEAD_BYTES, Kind
from wrrtun.device import Device
from wrrtun.linux.udp import ClientSocket, SendResult, ServerSocket

FRAMES: Final = 43
SEGMENT_BYTES: Final = 1382
ROUNDS: Final = 400
COUNTED_ROUNDS: Final = 50
PORT: Final = 51822
KEY: Final = bytes(range(32))
HOLD_SECONDS: Final = 0.05
MTU: Final = 1434
SOL_PACKET: Final = 263  # linux/socket.h, linux/if_packet.h; the socket module does not know them
PACKET_VNET_HDR: Final = 15
SYSTEM_CALLS: Final = {"send", "sendmsg", "recvmsg_into", "setsockopt", "readinto", "writev"}

Made = TypeVar("Made")
TableText = tuple[tuple[str, ...], list[tuple[str, ...]]]  # head, rows


def super_frame() -> bytes:
    """Make what a TAP hands over: virtio-net header, Ethernet, IPv4, TCP, payload."""
    payload = bytes(FRAMES * SEGMENT_BYTES)
    size = 52 + len(payload)
    network = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 1, 0x4000, 64, 6, 0, bytes(4), bytes(4))
    transport = struct.pack("!HHIIBBHHH", 4000, 80, 1, 7, 8 << 4, 16, 500, 0, 0) + bytes(12)
    frame = bytes(12) + b"\x08\0" + network + transport + payload
    return struct.pack("<BBHHHH", 1, 1, 66, SEGMENT_BYTES, 34, 16) + frame


class Way:
    """The way of bulk: `pass_one` moves one super-frame along it, each step through `step`."""

    def __init__(self, suite: Suite, device: tuple[Device, socket.socket] | None) -> None:
        self._cutter = Cutter()
        self._sealer, self._opener = Sealer(suite, KEY, 7), Opener(suite, KEY)
        self._window, self._reorder = ReplayWindow(), ReorderBuffer(0, HOLD_SECONDS)
        self._out, self._in, self._back = Slab(), Slab(), Slab()
        self._read = super_frame()
        self._device = device
        self._rounds = 0
        loopback = ipaddress.ip_address("127.0.0.1")
        self._server = ServerSocket(loopback, PORT)
        self._client = ClientSocket((loopback, PORT))

    def close(self) -> None:
        """Close the sockets."""
        self._server.close()
        self._client.close()

    def pass_one(self, step: Callable[..., Any]) -> None:
        """Move one super-frame; `step` is called with a name, a function and its arguments."""
        number, seq = self._rounds, self._rounds * FRAMES
        self._rounds += 1
        read: bytearray | memoryview | None = bytearray(self._read)
        if self._device is not None:
            device, into = self._device
            into.send(self._read)
            reads = step("TAP read", device.read, 1, 0.0)
            assert len(reads) == 1, "the TAP has nothing"
            read = reads.read(0)
        train = step("parse", Train.parse, read)
        frames, flags = step("cut", self._cutter.take, train, FRAMES, self._out)
        assert len(frames) == FRAMES
        sealing = (Kind.BULK, flags, CONTINUES, 0, seq, frames, self._out)
        batch = step("seal", self._sealer.seal, *sealing)
        segment_bytes = len(frames[0]) + OVERHEAD_BYTES
        assert step("send", self._client.send, batch, segment_bytes) is SendResult.OK
        size, segment_bytes, _path = step("receive", self._server.receive_into, self._in.view)
        (run,) = step("split", split, self._in.view[:size], segment_bytes, self._in)
        assert step("window", self._window.check, seq, FRAMES)
        opened, bad = step("open", self._opener.open, run, self._back)
        assert bad == 0
        self._window.commit(seq, FRAMES)
        released = step("reorder", self._reorder.insert, opened[0], number / 1000)
        vectors = step("join", gather, released)
        assert len(vectors) == 1
        if self._device is not None:
            step("TAP write", device.write, vectors)
            device.settle()


@contextlib.contextmanager
def _tap() -> Iterator[tuple[Device, socket.socket] | None]:
    """Have a TAP in a namespace of its own, and what puts frames into it; None without root."""
    if os.geteuid() != 0:
        yield None
        return
    with Namespace.create("micro") as namespace, namespace.entered():
        namespace.sysctl({"ipv6/conf/default/disable_ipv6": 1})  # nobody else shall write
        device = Device("micro", (), MTU, None, "02:00:00:00:00:01", Reads())
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as into:
            into.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            into.bind(("micro", 0))
            yield device, into
        device.tap.close()


def _timed(way: Way, rounds: int) -> dict[str, float]:
    """Nanoseconds a datagram, by step."""
    spent: dict[str, list[float]] = {}

    def step(name: str, call: Callable[..., Made], *with_these: Any) -> Made:
        began = time.perf_counter_ns()
        made = call(*with_these)
        spent.setdefault(name, []).append((time.perf_counter_ns() - began) / FRAMES)
        return made

    for _round in range(rounds):
        way.pass_one(step)
    return {name: statistics.median(each) for name, each in spent.items()}


class _CountingCipher:
    """An AEAD that counts its calls."""

    calls: ClassVar[Counter[str]] = Counter()

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._cipher, name)

        def counted(*with_these: Any) -> Any:
            self.calls[name.partition("_")[0]] += 1
            return call(*with_these)

        return counted


@contextlib.contextmanager
def _seen(device: tuple[Device, socket.socket] | None) -> Iterator[None]:
    """Have the TAP's reads made by a line of Python: what `map` calls, no profiler sees."""
    if device is None:
        yield
        return
    tap = device[0].tap
    read_into = tap.read_into

    def read(room: memoryview) -> int | None:
        return read_into(room)

    with mock.patch.object(tap, "read_into", read):
        yield


def _counted(device: tuple[Device, socket.socket] | None) -> dict[str, float]:
    """Calls a megabyte of payload, counted as they are made."""
    calls: Counter[str] = Counter()

    def watch(_frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call" and what.__name__ in SYSTEM_CALLS:
            calls[f"{current}: {what.__name__}"] += 1

    current = ""

    def step(name: str, call: Callable[..., Made], *with_these: Any) -> Made:
        nonlocal current
        current = name
        sys.setprofile(watch)
        try:
            return call(*with_these)
        finally:
            sys.setprofile(None)

    with mock.patch.object(seal, "AESGCM", _CountingCipher):
        way = Way(Suite.AES_256_GCM, device)
    _CountingCipher.calls.clear()
    with contextlib.closing(way), _seen(device):
        for _round in range(COUNTED_ROUNDS):
            way.pass_one(step)
    megabytes = COUNTED_ROUNDS * FRAMES * SEGMENT_BYTES / 1e6
    calls.update({f"AEAD {name}": count for name, count in _CountingCipher.calls.items()})
    return {name: count / megabytes for name, count in calls.items()}


def measure(rounds: int = ROUNDS) -> Costs:
    """Measure both ciphers, then count."""
    nanoseconds, began = {}, now()
    with _tap() as device:
        for suite in Suite:
            with contextlib.closing(Way(suite, device)) as way:
                nanoseconds[suite.name] = _timed(way, rounds)
        calls = _counted(device)
    return Costs(began=began, nanoseconds=nanoseconds, calls_per_megabyte=calls)


def tables(costs: Costs) -> list[TableText]:
    """Lay costs out: head and rows of a table of times, and of one of counts."""
    ciphers = list(costs.nanoseconds)
    steps = next(iter(costs.nanoseconds.values()))
    times = [
        (step, *(f"{costs.nanoseconds[cipher][step]:.0f}" for cipher in ciphers)) for step in steps
    ]
    sums = (f"{sum(costs.nanoseconds[cipher].values()):.0f}" for cipher in ciphers)
    times.append(("both ends", *sums))
    counts: list[tuple[str, ...]] = [
        (name, f"{count:.1f}") for name, count in costs.calls_per_megabyte.items()
    ]
    return [
        (("ns a datagram", *ciphers), times),
        (("calls a MB of payload", "AES_256_GCM"), counts),
    ]


def show(costs: Costs, console: Console) -> None:
    """Print both tables."""
    for head, rows in tables(costs):
        table = Table(*head)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default: {ROUNDS})")
    show(measure(parser.parse_args().rounds), Console())


if __name__ == "__main__":
    main()
