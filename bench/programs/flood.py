"""Send datagrams of one size to one place, as fast as one thread can, for some seconds."""

import contextlib
import socket
import sys
import time
from typing import Final

SENDS: Final = 500  # between two looks at the clock


def flood(host: str, port: int, size_bytes: int, seconds: float) -> None:
    """Send; what the network refuses is lost."""
    data = bytes(size_bytes)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                for _ in range(SENDS):
                    sock.send(data)


if __name__ == "__main__":
    flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
