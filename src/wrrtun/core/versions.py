"""What ends of different protocol versions still tell each other: that they are different.

    INIT     in every version: the header, the version at offset 8, mac1 and mac2 at the end
    VERSION  in every version: the header (type 11), the server's version, a MAC that ties it to
             the INIT, so that only who saw that INIT and knows the server's key can make one

A server answers an INIT of another version with VERSION, which is shorter than any INIT.
"""

from hashlib import blake2s
from hmac import compare_digest
from typing import Final

from .cookie import MAC_BYTES, mac
from .errors import Drop, PeerError
from .messages import PROTOCOL_VERSION
from .wire import ANY_LINK, HEADER, Kind, pack_header

VERSION_OFFSET: Final = HEADER.size
_HEAD: Final = HEADER.pack(pack_header(Kind.VERSION, ANY_LINK, 0, 0))
ANSWER_BYTES: Final = HEADER.size + 1 + MAC_BYTES
# Ends may ask and answer often; a person wants to hear it seldom.
NOTE_SECONDS: Final = 60.0


class OtherVersionError(PeerError):
    """The other end speaks version `theirs`; `answer` tells it so ("" at the client)."""

    def __init__(self, theirs: int, answer: bytes = b"") -> None:
        super().__init__(Drop.BAD_VERSION, f"version {theirs}")
        self.theirs = theirs
        self.answer = answer


def make_answer(server_public_key: bytes, mac1: bytes) -> bytes:
    """Return the VERSION that answers an INIT with `mac1`."""
    head = _HEAD + bytes([PROTOCOL_VERSION])
    return head + mac(_key(server_public_key), head + mac1)


def read_answer(server_public_key: bytes, answer: bytes, mac1: bytes) -> int:
    """Return the server's version from the answer to our INIT with `mac1`, or raise PeerError."""
    if len(answer) != ANSWER_BYTES or not answer.startswith(_HEAD):
        raise PeerError(Drop.BAD_HANDSHAKE, f"a VERSION of {len(answer)} bytes")
    head, tag = answer[:-MAC_BYTES], answer[-MAC_BYTES:]
    if not compare_digest(mac(_key(server_public_key), head + mac1), tag):
        raise PeerError(Drop.BAD_HANDSHAKE, "a VERSION that answers another INIT, or is forged")
    return head[VERSION_OFFSET]


def _key(server_public_key: bytes) -> bytes:
    return blake2s(b"wrrtun version" + server_public_key).digest()
