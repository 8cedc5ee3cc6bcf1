"""Say "congestion" in a frame instead of dropping it (RFC 3168)."""

from typing import Final

from .classify import IPV4, IPV4_BYTES, IPV6, IPV6_BYTES, network_offset

NOT_CAPABLE: Final = 0b00
CONGESTION_EXPERIENCED: Final = 0b11


def mark_congestion_experienced(frame: bytearray | memoryview, offset: int = 0) -> bool:
    """Set CE in the IP header, in place; False when the sender cannot be told that way: drop it.

    `offset` is where the Ethernet header starts. True too when the mark was there already.
    """
    try:
        start = network_offset(frame, offset)
        ethertype = frame[start - 2] << 8 | frame[start - 1]
    except IndexError:
        return False
    if ethertype == IPV4 and start + IPV4_BYTES <= len(frame):
        return _mark_ipv4(frame, start)
    if ethertype == IPV6 and start + IPV6_BYTES <= len(frame):
        return _mark_ipv6(frame, start)
    return False


def _mark_ipv4(frame: bytearray | memoryview, start: int) -> bool:
    ecn = frame[start + 1] & 0b11
    if frame[start] >> 4 != 4 or ecn == NOT_CAPABLE:
        return False
    frame[start + 1] |= CONGESTION_EXPERIENCED
    # RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). ~m + m' is the change of the ECN bits, and
    # ~(~HC + change) is HC - change, with a borrow that wraps at 0xFFFF (one's complement).
    checksum = (frame[start + 10] << 8 | frame[start + 11]) - (CONGESTION_EXPERIENCED - ecn)
    if checksum < 0:
        checksum += 0xFFFF
    frame[start + 10], frame[start + 11] = checksum >> 8, checksum & 0xFF
    return True


def _mark_ipv6(frame: bytearray | memoryview, start: int) -> bool:
    if frame[start] >> 4 != 6 or frame[start + 1] >> 4 & 0b11 == NOT_CAPABLE:
        return False
    frame[start + 1] |= CONGESTION_EXPERIENCED << 4
    return True
