"""`wrrtun speedtest`: what each line carries alone, and all together, through the tunnel.

The server's end (`--serve`) sends and counts bytes over TCP, inside the tunnel only. The client's
end has its daemon use one link after the other, and then all, and counts in the middle of each
run: not while TCP and the daemon find their rates.

    "D <skip> <seconds>\\n"   the server sends for so long
    "U <skip> <seconds>\\n"   the server counts what it receives after `skip`, answers with bytes
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from .config import IPAddress
from .core.errors import WrrtunError

PORT: Final = 51821
STREAMS: Final = 4  # one may be kept small by a single loss
CHUNK: Final = bytes(1 << 16)
REQUEST_BYTES: Final = 64
MAX_SECONDS: Final = 120.0
GRACE_SECONDS: Final = 10.0
MAX_CLIENTS: Final = 16


@dataclass(frozen=True)
class Speed:
    """What was carried, in bits per second of TCP payload."""

    down: float
    up: float


def serve(address: IPAddress, device: str, port: int) -> None:
    """Answer speed tests on one address, through one device, until interrupted."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Not only the address: a packet for it may come in elsewhere too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
            listener.bind((str(address), port))
        except OSError as error:
            raise WrrtunError(f"cannot listen on {address} port {port}: {error.strerror}") from None
        listener.listen(MAX_CLIENTS)
        places = threading.BoundedSemaphore(MAX_CLIENTS)
        while True:
            client, _address = listener.accept()
            if places.acquire(blocking=False):
                threading.Thread(target=_answer, args=(client, places), daemon=True).start()
            else:
                client.close()


def _answer(client: socket.socket, places: threading.BoundedSemaphore) -> None:
    with places_freed(places), client, contextlib.suppress(OSError, ValueError):
        client.settimeout(GRACE_SECONDS)
        request = b""
        while not request.endswith(b"\n") and len(request) < REQUEST_BYTES:
            part = client.recv(1)
            if not part:
                return
            request += part
        direction, skip, seconds = request.decode("ascii").split()
        times = min(float(skip), MAX_SECONDS), min(float(seconds), MAX_SECONDS)
        if direction == "D":
            _send(client, sum(times))
        elif direction == "U":
            client.sendall(b"%d\n" % _count(client, *times))


@contextlib.contextmanager
def places_freed(places: threading.BoundedSemaphore) -> Iterator[None]:
    """Give a place back at the end."""
    try:
        yield
    finally:
        places.release()


def _send(one: socket.socket, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        one.sendall(CHUNK)


def _count(one: socket.socket, skip: float, seconds: float) -> int:
    """Receive until the sender ends; return the bytes of the window."""
    began = time.monotonic()
    buffer = bytearray(len(CHUNK))
    counted = 0
    while size := one.recv_into(buffer):
        if skip <= time.monotonic() - began < skip + seconds:
            counted += size
    return counted


def measure(server: tuple[str, int], skip: float, seconds: float) -> Speed:
    """Measure download, then upload, for `skip` + `seconds` each."""
    return Speed(
        _in_parallel(lambda: _download(server, skip, seconds)) * 8 / seconds,
        _in_parallel(lambda: _upload(server, skip, seconds)) * 8 / seconds,
    )


def _in_parallel(run: Callable[[], int]) -> int:
    with ThreadPoolExecutor(STREAMS) as threads:
        streams = [threads.submit(run) for _ in range(STREAMS)]
        return sum(stream.result() for stream in streams)


@contextlib.contextmanager
def _asked(server: tuple[str, int], request: str) -> Iterator[socket.socket]:
    try:
        with socket.create_connection(server, GRACE_SECONDS) as one:
            one.sendall(request.encode() + b"\n")
            yield one
    except OSError as error:
        raise WrrtunError(
            f"no speed test at {server[0]} port {server[1]}: {error.strerror or error}; "
            "run wrrtun speedtest --serve on the server"
        ) from None


def _download(server: tuple[str, int], skip: float, seconds: float) -> int:
    with _asked(server, f"D {skip} {seconds}") as one:
        return _count(one, skip, seconds)


def _upload(server: tuple[str, int], skip: float, seconds: float) -> int:
    with _asked(server, f"U {skip} {seconds}") as one:
        _send(one, skip + seconds)
        one.shutdown(socket.SHUT_WR)
        # What waits in the tunnel's queue is still to be delivered.
        one.settimeout(GRACE_SECONDS + skip + seconds)
        return int(one.makefile("rb").readline() or 0)
