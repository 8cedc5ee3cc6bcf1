"""Two control messages of chosen length, for path_mtu.py to find out what a link carries."""

from dataclasses import dataclass
from typing import Final

from .wire import OVERHEAD_BYTES

# The length of their datagrams without padding: header and tag, kind, fields.
SIZE_PROBE_BYTES: Final = OVERHEAD_BYTES + 1 + 6
SIZE_REPLY_BYTES: Final = OVERHEAD_BYTES + 1 + 4


@dataclass(frozen=True)
class SizeProbe:
    """Asks whether a datagram as long as this one arrives: `SIZE_PROBE_BYTES` and the padding.

    `says`: how long the sender takes datagrams of this link to be at most; 0: it does not know.
    """

    probe_id: int
    says: int
    padding: bytes = b""


@dataclass(frozen=True)
class SizeReply:
    """Answers a SizeProbe at the same length: `SIZE_REPLY_BYTES` and the padding."""

    probe_id: int
    padding: bytes


def is_counted(content: bytes) -> bool:
    """Tell whether a control message counts in what its link loses; these do not."""
    return content[:1] not in _KINDS


_KINDS: Final = (b"\x09", b"\x0a")
