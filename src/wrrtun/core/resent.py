"""Which TCP segments go out a second time: the bulk queue drops anything else before those.

A receiver holds back all that follows a lost segment. When its second copy is lost too, most
senders learn of it by a timeout only, which costs more than any signal that the drop could give. A
segment goes out again when its flow has sent beyond it before. Two sets take turns, as in flows.py.

Sending it *ahead* of the queue would be no favour: senders take what they sent before it, and what
then arrives after it, for lost (RFC 8985).

How far flows have sent is noted only while the queue stands: nothing else is ever dropped.
"""

import struct
from collections.abc import Sequence
from typing import Final

from .headers import TCP, Buffer, locate

STANDING_SECONDS: Final = 0.02
# Longer than a round trip with a full queue: so long after others that followed it does one come.
REMEMBERED_SECONDS: Final = 1.0
MOST_FLOWS: Final = 1024

IPV4_ADDRESSES: Final = 12
IPV6_ADDRESSES: Final = 8
PORTS_BYTES: Final = 4
_SEQ: Final = struct.Struct("!I")  # behind the ports (RFC 9293, 3.1)


class Resent:
    """How far each flow has sent of late."""

    def __init__(self) -> None:
        self._standing = False
        self._ends: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}
        self._turned_at = 0.0

    def look(self, sojourn_seconds: float, now: float) -> None:
        """Hear how long the queue's head has waited, some tens of times a second."""
        self._standing = sojourn_seconds > STANDING_SECONDS
        if now - self._turned_at >= REMEMBERED_SECONDS:
            self._turn(now)

    def again(self, frames: Sequence[Buffer], now: float) -> bool:
        """Tell whether one of these has been sent before, if only in part: they are to be queued.

        Frames, or a super-frame, whose headers lie where those of the first do.
        """
        headers = locate(frames[0]) if self._standing else None
        if headers is None or headers.protocol != TCP:
            return False
        if len(self._ends) >= MOST_FLOWS:
            self._turn(now)
        start = headers.network + (IPV6_ADDRESSES if headers.ipv6 else IPV4_ADDRESSES)
        ports_end = headers.transport + PORTS_BYTES
        again = False
        for frame in frames:
            flow = bytes(frame[start:ports_end])
            end = self._ends.get(flow, self._before.get(flow))
            seq: int = _SEQ.unpack_from(frame, ports_end)[0]
            size = len(frame) - headers.payload
            # RFC 1982, of 32 bits.
            beyond = (end - seq + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000 if end is not None else 0
            again = again or beyond > 0
            if end is None or beyond < size:
                end = seq + size & 0xFFFF_FFFF
            self._ends[flow] = end
        return again

    def _turn(self, now: float) -> None:
        self._before, self._ends, self._turned_at = self._ends, {}, now
