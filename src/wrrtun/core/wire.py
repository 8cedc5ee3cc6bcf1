"""Datagram: 8-byte header, ciphertext, 16-byte tag. The whole header is authenticated.

0       4       8               24                                      64 bits
+-------+-------+---------------+-----------------------------------------+
| type  | link  |   session     |   seq: per class, never twice under a key |
+-------+-------+---------------+-----------------------------------------+

The upper two bits of the type say what the lower two mean:

    00cc  a frame (or control message) of class cc, complete
    01cc  a frame whose transport checksum is still partial
    11cc  the same, and it continues the super-frame of the previous seq
    10..  handshake: 8 INIT, 9 RESPONSE, 10 COOKIE, 11 VERSION; session and seq are 0

Classes: 1 bulk, 2 express, 3 control. Nonces are made of class and seq alone, so the flags never
open a second nonce space.
"""

import struct
from enum import IntEnum
from typing import Final

HEADER: Final = struct.Struct("!Q")
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = HEADER.size + TAG_BYTES

SEQ_BITS: Final = 40
SEQ_MASK: Final = (1 << SEQ_BITS) - 1
SEQ_HALF: Final = 1 << (SEQ_BITS - 1)

MAX_LINKS: Final = 15  # numbers 0 to 14
ANY_LINK: Final = 15  # the datagram is the same on several links

# Largest UDP payload over IPv4: 65535 - 20 - 8. UDP_SEGMENT refuses a longer run, and more than
# 64 segments (UDP_MAX_SEGMENTS before Linux 6.9).
MAX_BATCH_BYTES: Final = 65_507
MAX_BATCH_DATAGRAMS: Final = 64
# What is sealed in one go, on a fast link: more would not stay in a core's own cache (1 to 2 MB).
MAX_RUN_BATCHES: Final = 4
MAX_RUN_DATAGRAMS: Final = MAX_RUN_BATCHES * MAX_BATCH_DATAGRAMS

PARTIAL: Final = 0b0100
CONTINUES: Final = 0b1100


class Kind(IntEnum):
    """The class of a sealed datagram, or the step of a handshake."""

    BULK = 1
    EXPRESS = 2
    CONTROL = 3
    INIT = 8
    RESPONSE = 9
    COOKIE = 10
    VERSION = 11


# To name a member by its enum takes 0.1 us, and every run is asked what it is a dozen times.
BULK: Final = Kind.BULK
EXPRESS: Final = Kind.EXPRESS
CONTROL: Final = Kind.CONTROL
SEALED: Final = (BULK, EXPRESS, CONTROL)
ANSWERS: Final = (Kind.RESPONSE, Kind.COOKIE, Kind.VERSION)


def pack_header(kind: int, link: int, session: int, seq: int) -> int:
    """Make the header as one 64-bit number; `kind` may carry PARTIAL or CONTINUES."""
    return kind << 60 | link << 56 | session << 40 | seq


def batch_datagrams(size_bytes: int) -> int:
    """Say how many datagrams of this size one batch may have."""
    return min(MAX_BATCH_BYTES // size_bytes, MAX_BATCH_DATAGRAMS)


def seq_distance(a: int, b: int) -> int:
    """Say how far `a` lies ahead of `b`, negative when behind (RFC 1982)."""
    return ((a - b + SEQ_HALF) & SEQ_MASK) - SEQ_HALF
