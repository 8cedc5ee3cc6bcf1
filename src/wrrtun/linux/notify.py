"""Tell systemd what a service does: the datagrams of sd_notify(3), and how often it wants them.

Without systemd ($NOTIFY_SOCKET is not set) nothing is sent. A datagram that systemd cannot take at
once is lost, never waited for.
"""

import contextlib
import os
import socket
from typing import Final

_MICROSECONDS: Final = 1e6


def notify(*states: str) -> None:
    """Send assignments such as READY=1 and STATUS=two links up, in one datagram."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name[:1] not in ("/", "@"):
        return
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
        address = name if name[0] == "/" else "\0" + name[1:]
        sender.sendto("\n".join(states).encode(), address)


def watchdog_seconds() -> float | None:
    """Return within which time systemd wants a WATCHDOG=1 from this process; None: never."""
    for_process = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    text = os.environ.get("WATCHDOG_USEC", "")
    if for_process != str(os.getpid()) or not text.isdecimal() or int(text) == 0:
        return None
    return int(text) / _MICROSECONDS
