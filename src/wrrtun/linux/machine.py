"""What this machine knows of the world: its own addresses, the networks that
are taken, and what its processor can."""

import resource
import socket

from pyroute2.netlink.rtnl import RTM_GETADDR
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from .netlink import read_address
from .paths import Address
from .route_messages import Network
from .routes import Routes
from .rtnetlink import Rtnetlink


def addresses() -> list[Address]:
    """Return every address of this machine."""
    with Rtnetlink() as kernel:
        return [
            found[0].ip
            for message in kernel.ask_all(RTM_GETADDR, ifaddrmsg())
            if (found := read_address(message)) is not None
        ]


def claim(name: str) -> socket.socket | None:
    """Take a name that only one process of a network namespace can have, until it is closed.

    None: another one has it. The kernel gives it back when the process ends, however it does.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0{name}")
    except OSError:
        holder.close()
        return None
    return holder


def lift_descriptor_limit() -> None:
    """Let this process have as many descriptors as it may; systemd's first limit is 1024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def networks_in_use() -> list[Network]:
    """Return the networks that this machine has an address in, or a route to."""
    with Routes(tag=0) as routes:
        return routes.networks()


def has_aes() -> bool:
    """Tell whether the processor has AES instructions (x86: aes, ARMv8: aes)."""
    try:
        with open("/proc/cpuinfo") as file:
            return any(
                " aes " in f" {line.partition(':')[2].strip()} "
                for line in file
                if line.startswith(("flags", "Features"))
            )
    except OSError:
        return True
