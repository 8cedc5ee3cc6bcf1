"""The layout of every handshake and control message; only this room knows `construct`.

INIT, RESPONSE and COOKIE start with the 8-byte wire header (kind, link 15, session 0, seq 0) and
end in MACs, which are not here (cookie.py). HELLO and WELCOME are the sealed payloads of INIT and
RESPONSE. The others follow the kind byte of a CONTROL datagram's plaintext (reports: reports.py).
All numbers are big-endian. What the fields mean is said in messages.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from construct import (
    Bytes,
    BytesInteger,
    Const,
    ConstructError,
    GreedyBytes,
    Int8ub,
    Int16ub,
    Int32ub,
    Int64ub,
    PrefixedArray,
    Sequence,
    Struct,
)

from .errors import Drop, PeerError
from .wire import ANY_LINK, HEADER, Kind, pack_header


class _Reader:
    """Hands a message out piece by piece, and never a piece shorter than asked for.

    A compiled layout would take a short piece for a smaller number.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def read(self, size: int | None = None) -> bytes:
        start = self._position
        self._position += self.left if size is None else size
        if self.left < 0:
            raise ValueError("it ends early")
        return self._data[start : self._position]


class Layout:
    """A `construct` in its compiled form, which takes a fifth of the time."""

    def __init__(self, construct: Any, refusal: Drop) -> None:
        self._compiled = construct.compile()
        self._refusal = refusal

    def build(self, fields: Mapping[str, Any]) -> bytes:
        """Write `fields`; those that do not fit raise ValueError or struct.error."""
        built: bytes = self._compiled.build(fields)
        return built

    def parse(self, data: bytes) -> Any:
        """Read all of `data` into fields, or raise PeerError."""
        reader = _Reader(data)
        try:
            fields = self._compiled.parse_stream(reader)
        except (ConstructError, ValueError) as error:
            raise PeerError(self._refusal, f"{len(data)} bytes: {error}") from error
        if reader.left:
            raise PeerError(self._refusal, f"{len(data)} bytes: {reader.left} too many")
        return fields


_SEQ: Final = BytesInteger(5)
_TOKEN: Final = Bytes(8)


_TABLE: Final = (
    "serial" / Int32ub,
    "copies" / Int8ub,
    "links"
    / PrefixedArray(
        Int8ub,
        Struct(
            "number" / Int8ub,
            "weight_down_thousandths" / Int32ub,
            "weight_up_thousandths" / Int32ub,
            "rate_down_bits_per_second" / Int64ub,
            "rate_up_bits_per_second" / Int64ub,
            "role" / Int8ub,
            "part_thousandths" / Int16ub,
        ),
    ),
)


def _header(kind: Kind) -> Any:
    return "header" / Const(HEADER.pack(pack_header(kind, ANY_LINK, 0, 0)))


INIT: Final = Layout(
    Struct(
        _header(Kind.INIT),
        "version" / Int8ub,
        "suite" / Int8ub,
        "session" / Int16ub,
        "noise" / GreedyBytes,
    ),
    Drop.BAD_HANDSHAKE,
)
RESPONSE: Final = Layout(
    Struct(
        _header(Kind.RESPONSE),
        "client_session" / Int16ub,
        "session" / Int16ub,
        "noise" / GreedyBytes,
    ),
    Drop.BAD_HANDSHAKE,
)
COOKIE: Final = Layout(
    Struct(
        _header(Kind.COOKIE),
        "client_session" / Int16ub,
        "nonce" / Bytes(24),
        "sealed" / Bytes(32),
    ),
    Drop.BAD_HANDSHAKE,
)
HELLO: Final = Layout(
    Struct(
        "timestamp_us" / Int64ub,
        "boot_id" / Bytes(16),
        "cookie" / Bytes(16),
        "next_bulk_seq" / _SEQ,
        "mtu" / Int16ub,
        *_TABLE,
    ),
    Drop.BAD_HANDSHAKE,
)
WELCOME: Final = Layout(
    Struct("boot_id" / Bytes(16), "next_bulk_seq" / _SEQ, "mtu" / Int16ub),
    Drop.BAD_HANDSHAKE,
)

PROBE: Final = Layout(
    Struct(
        "probe_id" / Int32ub,
        "sent_us" / Int64ub,
        "sent_datagrams" / Int64ub,
        "next_bulk_seq" / _SEQ,
        "token" / _TOKEN,
        "rate_kbits" / Int32ub,
    ),
    Drop.BAD_MESSAGE,
)
PROBE_REPLY: Final = Layout(
    Struct(
        "probe_id" / Int32ub,
        "probe_sent_us" / Int64ub,
        "received_us" / Int64ub,
        "received_datagrams" / Int64ub,
        "token" / _TOKEN,
    ),
    Drop.BAD_MESSAGE,
)
NACK: Final = Layout(
    Struct("ranges" / PrefixedArray(Int8ub, Sequence(_SEQ, Int16ub))), Drop.BAD_MESSAGE
)
MARKER: Final = Layout(Struct("next_bulk_seq" / _SEQ), Drop.BAD_MESSAGE)
BYE: Final = Layout(Struct("reason" / Int8ub), Drop.BAD_MESSAGE)
LINKS: Final = Layout(Struct(*_TABLE), Drop.BAD_MESSAGE)
LINKS_ACK: Final = Layout(Struct("serial" / Int32ub), Drop.BAD_MESSAGE)
SIZE_PROBE: Final = Layout(
    Struct("probe_id" / Int32ub, "says" / Int16ub, "padding" / GreedyBytes), Drop.BAD_MESSAGE
)
SIZE_REPLY: Final = Layout(Struct("probe_id" / Int32ub, "padding" / GreedyBytes), Drop.BAD_MESSAGE)
