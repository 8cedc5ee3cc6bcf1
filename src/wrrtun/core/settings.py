"""What one end of a tunnel is told, and the sizes that its MTU follows from."""

from dataclasses import dataclass, field
from typing import Final

from .headers import ETHERNET_BYTES
from .session import KeyLife
from .wire import OVERHEAD_BYTES

UDP_IPV4_BYTES: Final = 28
UDP_IPV6_BYTES: Final = 48
# RFC 791: what every IPv4 host takes. A peer that says less is wrong about its lines.
LEAST_MTU: Final = 576


@dataclass(frozen=True)
class TunnelSettings:
    """What one end is told about its tunnel. `mtu` is the TAP's at most, in bytes.

    Below `least_mtu` it is not lowered, whatever the links' paths carry. Without `in_order`, bulk
    is handed over as it comes: for measurements.
    """

    mtu: int
    key_life: KeyLife = field(default_factory=KeyLife)
    in_order: bool = True
    least_mtu: int = LEAST_MTU

    @property
    def max_frame_bytes(self) -> int:
        """The longest Ethernet frame that fits."""
        return self.mtu + ETHERNET_BYTES


def tunnel_mtu(link_mtu: int, *, ipv6: bool) -> int:
    """Return the TAP's MTU, in bytes, over links of `link_mtu` bytes."""
    below = UDP_IPV6_BYTES if ipv6 else UDP_IPV4_BYTES
    return link_mtu - below - OVERHEAD_BYTES - ETHERNET_BYTES
