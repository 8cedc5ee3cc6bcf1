"""Checks of the machine itself: rights, TUN, kernel, clock."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from wrrtun.linux import inspect
from wrrtun.linux.batch_socket import BUFFER_BYTES

from .finding import Finding, Level, bad, ok

NTP_SECONDS: Final = 2.0
TOLERATED_SECONDS: Final = 60.0
NEWEST_KERNEL_FEATURE: Final = (5, 0)  # UDP_GRO


def check_rights() -> Iterator[Finding]:
    """May a daemon be run from here?"""
    if inspect.may_administer():
        yield ok("this process may make devices and routes (CAP_NET_ADMIN)")
    else:
        yield bad(
            "this process lacks CAP_NET_ADMIN: a daemon started like this gets no device",
            "run it as root, or by the systemd unit, which has AmbientCapabilities=CAP_NET_ADMIN",
        )


def check_tun() -> Iterator[Finding]:
    """Is there a way to make a TAP device?"""
    trouble = inspect.tun_trouble()
    if trouble is None:
        yield ok(f"{inspect.TUN} opens")
    elif inspect.TUN.exists():
        yield bad(f"{inspect.TUN} does not open: {trouble}", "run this as root")
    else:
        yield bad(
            f"there is no {inspect.TUN}",
            "modprobe tun; a container or a small VPS needs TUN switched on by its host",
        )


def check_clock(ntp_server: str | None) -> Iterator[Finding]:
    """Is the clock right? Keys do not need it; certificates, logs and sums do."""
    offset = inspect.clock_offset(ntp_server, NTP_SECONDS) if ntp_server else None
    if offset is not None:
        if abs(offset) <= TOLERATED_SECONDS:
            yield ok(f"the clock is right ({ntp_server})")
            return
        which = "ahead" if offset > 0 else "behind"
        yield Finding(
            Level.BAD if abs(offset) > 86400 else Level.ODD,
            f"the clock is {timedelta(seconds=round(abs(offset)))} {which}",
            "timedatectl set-ntp true; the tunnel itself only needs a clock that does not go back",
        )
        return
    # Whatever was written lately was not written in the future.
    newest = max(path.stat().st_mtime for path in (Path(__file__), Path("/etc"), Path("/var/lib")))
    if newest > time.time() + TOLERATED_SECONDS:
        behind = timedelta(seconds=round(newest - time.time()))
        yield bad(f"the clock is {behind} behind, at least", "timedatectl set-ntp true")
    else:
        why = f"{ntp_server} does not answer" if ntp_server else "nobody was asked"
        yield Finding(Level.NOTE, f"the clock was not compared: {why}")


def check_kernel() -> Iterator[Finding]:
    """Does the kernel have what makes it fast?"""
    text = Path("/proc/sys/kernel/osrelease").read_text().strip()
    numbers = text.split("-")[0].split(".")
    version = (int(numbers[0]), int(numbers[1]))
    if version < NEWEST_KERNEL_FEATURE:
        yield bad(f"Linux {text} is too old", "5.0 or newer is needed")
    elif version < (6, 2):
        yield Finding(Level.NOTE, f"Linux {text}: fast for TCP; from 6.2 on for UDP too")
    else:
        yield ok(f"Linux {text}")


def check_buffers() -> Iterator[Finding]:
    """May sockets hold enough? What overflows is lost without a word."""
    granted = inspect.granted_buffer_bytes()
    if granted < BUFFER_BYTES:
        wanted = BUFFER_BYTES
        yield Finding(
            Level.ODD,
            f"a socket made like this holds {granted >> 10} KiB, of {wanted >> 10} that are wanted",
            f"CAP_NET_ADMIN, or sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}",
        )


def check_all(ntp_server: str | None) -> Iterator[Finding]:
    """Check all of it."""
    yield from check_rights()
    yield from check_tun()
    yield from check_kernel()
    yield from check_buffers()
    yield from check_clock(ntp_server)
