"""The virtio-net header (virtio 1.2, 5.1.6) in front of what the TAP delivers and takes.

It says whether the transport checksum is partial (it then holds the pseudo-header's sum, and the
rest is to be added from `csum_start` on) and, for a super-frame, at which payload size to cut it.
"""

import struct
from typing import Final

# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; the TAP is set to little-endian.
VNET: Final = struct.Struct("<BBHHHH")
VNET_PLAIN: Final = VNET.pack(0, 0, 0, 0, 0, 0)
NEEDS_CHECKSUM: Final = 1
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80  # besides a TCP type: congestion window reduced is set, on the first only

# TCP flags (RFC 9293, 3.1; RFC 3168) that belong to one end of a super-frame.
FIN_PSH: Final = 0x09  # on the last frame
CWR: Final = 0x80  # on the first
