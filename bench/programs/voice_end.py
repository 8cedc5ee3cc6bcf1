"""One end of a telephone call: sends a small datagram every 20 ms, and takes the other end's.

A datagram is a number and the time at which it was sent, padded. Both ends run on one kernel, so
one clock tells how long it took. Written at the end: what was received, as JSON.
"""

import argparse
import itertools
import json
import selectors
import socket
import struct
import sys
import time
from typing import Final

HEAD: Final = struct.Struct("!Id")  # number, seconds of CLOCK_MONOTONIC
LINGER_SECONDS: Final = 1.0  # for the last datagrams; what is later was no use to anybody


def call(sock: socket.socket, *, seconds: float, interval: float, size_bytes: int) -> None:
    """Talk for `seconds` over a connected socket, then write what was heard."""
    sock.setblocking(False)
    began = time.monotonic()
    total = round(seconds / interval)
    sent = 0
    heard: list[tuple[int, float, float]] = []  # number, sent at, received at
    end = began + seconds + LINGER_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while (now := time.monotonic()) < end:
            if sent < total and now >= began + sent * interval:
                # What the network refuses just now is lost, as for any telephone.
                _send(sock, HEAD.pack(sent, now).ljust(size_bytes, b"\0"))
                sent += 1
                continue
            due = began + sent * interval if sent < total else end
            if selector.select(max(due - now, 0.0)):
                data = _receive(sock)
                if len(data) >= HEAD.size:
                    heard.append((*HEAD.unpack_from(data), time.monotonic()))
    first: dict[int, float] = {}
    for number, sent_at, received_at in heard:
        first.setdefault(number, received_at - sent_at)
    order = [number for number, _, _ in heard]
    transits = [received_at - sent_at for _, sent_at, received_at in heard]
    json.dump(
        {
            "expected": total,
            "delays": [first[number] for number in sorted(first)],
            "duplicates": len(heard) - len(first),
            "reordered": sum(before > after for before, after in itertools.pairwise(order)),
            "jitter": _jitter(transits),
        },
        sys.stdout,
    )


def _jitter(transits: list[float]) -> float:
    """Interarrival jitter in the order of arrival, in seconds (RFC 3550, 6.4.1)."""
    jitter = 0.0
    for before, after in itertools.pairwise(transits):
        jitter += (abs(after - before) - jitter) / 16
    return jitter


def _send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.send(data)
    except OSError:
        return


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(2048)
    except OSError:
        return b""


def main() -> None:
    """Call, or wait to be called."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("call", "answer"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--device")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    where = (options.address, options.port)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if options.device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options.device.encode())
        if options.role == "call":
            sock.connect(where)
        else:
            sock.bind(where)
            _, caller = sock.recvfrom(2048, socket.MSG_PEEK)
            sock.connect(caller)
        call(
            sock,
            seconds=options.seconds,
            interval=options.interval,
            size_bytes=options.size,
        )


if __name__ == "__main__":
    main()
