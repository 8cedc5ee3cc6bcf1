"""Acknowledgements: which frames are some, and which of them say nothing new.

Of those of one flow that wait together, the last says what all do.

TCP acknowledges all bytes up to a number (RFC 9293, 3.4), so one with a greater number says what
those before it said. Left out are only plain ones: without payload, any other flag or an option
but timestamps. Two with the same number are duplicates, which are a signal (RFC 5681, 3.2): both
stay. So does whatever a SACK block or an echo of congestion makes special.

Only what one wake-up finds is looked at, so nothing ever waits for it: on a slow line each is
alone, in a fast download the far end has half as many to send, open and hand over.
"""

import struct
from typing import Final

from .headers import ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP, Buffer, locate
from .reads import Reads

SYN: Final = 0x02
ACK: Final = 0x10
FLAGS_OFFSET: Final = 13
FRAGMENT: Final = 30  # where IPv4 says that a packet is a fragment
NUMBERS: Final = 1 << 32
TIMESTAMPS: Final = b"\x01\x01\x08\x0a"  # two NOPs, kind 8, ten bytes (RFC 7323, appendix A)
TIMESTAMPS_BYTES: Final = 12

# EtherType, version (and IPv4's header length), protocol, the flow, acknowledgement number, TCP's
# header length and flags; behind the virtio-net header.
_IPV4: Final = struct.Struct("!22xHB8xB2x12s4xIBB")
_IPV6: Final = struct.Struct("!22xHB5xBx36s4xIBB")
_BARE, _LONG = 0x50, 0x80  # TCP's header without options, and with timestamps
_KINDS: Final = {
    64: (_IPV4, ETHERTYPE_IPV4, 0x45, _BARE),
    76: (_IPV4, ETHERTYPE_IPV4, 0x45, _LONG),
    84: (_IPV6, ETHERTYPE_IPV6, 0x60, _BARE),
    96: (_IPV6, ETHERTYPE_IPV6, 0x60, _LONG),
}
MOST_BYTES: Final = max(_KINDS)


def acknowledges(frame: Buffer) -> bool:
    """Tell whether an express frame is TCP's and sets nothing up."""
    headers = locate(frame)
    return (
        headers is not None
        and headers.protocol == TCP
        and not frame[headers.transport + FLAGS_OFFSET] & SYN
    )


def superseded(reads: Reads) -> set[int]:
    """Name the reads that may be left out, as a later one says what they say and more."""
    found: set[int] = set()
    if len(reads) < 2 or max(reads.sizes) > MOST_BYTES:
        return found
    newest: dict[bytes, int] = {}  # what the later ones of each flow acknowledge
    for index in range(len(reads) - 1, -1, -1):
        told = _acknowledgement(reads.read(index))
        if told is None:
            continue
        flow, number = told
        later = newest.get(flow, number)
        if 0 < (later - number) % NUMBERS < NUMBERS // 2:
            found.add(index)
        else:
            newest[flow] = number
    return found


def _acknowledgement(read: memoryview) -> tuple[bytes, int] | None:
    """Return flow and number of a plain acknowledgement."""
    kind = _KINDS.get(len(read))
    if kind is None:
        return None
    layout, ethertype, version, length = kind
    said, first, protocol, flow, number, offset, flags = layout.unpack_from(read)
    if (said, protocol, offset, flags) != (ethertype, TCP, length, ACK):
        return None
    if version == 0x45:
        fragment = (read[FRAGMENT] << 8 | read[FRAGMENT + 1]) & 0x3FFF  # more of them, or an offset
        known = first == version and not fragment
    else:
        known = first & 0xF0 == version
    if not known:
        return None
    if length == _LONG and bytes(read[-TIMESTAMPS_BYTES:][: len(TIMESTAMPS)]) != TIMESTAMPS:
        return None
    return flow, number
