"""What handshakes and control datagrams say: bytes on one side, frozen dataclasses on the other.

    Init, Response, Cookie   handshake datagrams as they stand before their MACs
    Hello, Welcome           the sealed payloads of INIT and RESPONSE
    ControlMessage           the plaintext of a CONTROL datagram: a kind byte, then the layout

Times are microseconds of the sender's monotonic clock unless said otherwise, seqs are 40 bits,
links are numbers 0 to 14, tokens are 8 bytes. A message is read whole or refused with PeerError:
BAD_HANDSHAKE (or BAD_VERSION) for the first two groups, BAD_MESSAGE for the last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import layouts
from .errors import Drop, PeerError
from .layouts import Layout
from .offers import LinkTable
from .reports import Report, encode_report, parse_report
from .size_messages import SizeProbe, SizeReply

PROTOCOL_VERSION: Final = 2
MAX_NACK_RANGES: Final = 64


@dataclass(frozen=True)
class Init:
    """The client asks for a session; datagrams to it shall carry `session`, which is not 0."""

    suite: int
    session: int
    noise: bytes
    version: int = PROTOCOL_VERSION

    def encode(self) -> bytes:
        """Write what comes before the MACs."""
        return layouts.INIT.build(vars(self))


@dataclass(frozen=True)
class Response:
    """The server answers INIT `client_session`; datagrams to it shall carry `session`."""

    client_session: int
    session: int
    noise: bytes

    def encode(self) -> bytes:
        """Write what comes before the MAC."""
        return layouts.RESPONSE.build(vars(self))


@dataclass(frozen=True)
class Cookie:
    """The server answers INIT `client_session` with a sealed cookie instead of a session."""

    client_session: int
    nonce: bytes  # 24 bytes
    sealed: bytes  # 16 bytes and a tag

    def encode(self) -> bytes:
        """Write the whole datagram; it has no MAC."""
        return layouts.COOKIE.build(vars(self))


@dataclass(frozen=True)
class Hello:
    """INIT's payload.

    The timestamp is wall clock and grows with every INIT of a run; `boot_id` (16 bytes) is drawn
    once for each run; `cookie` (16 bytes) is the last that the server gave, or zeros.
    """

    timestamp_us: int
    boot_id: bytes
    cookie: bytes
    next_bulk_seq: int
    mtu: int
    table: LinkTable

    def encode(self) -> bytes:
        """Write the payload."""
        return layouts.HELLO.build(vars(self) | self.table.fields())


@dataclass(frozen=True)
class Welcome:
    """RESPONSE's payload."""

    boot_id: bytes
    next_bulk_seq: int
    mtu: int

    def encode(self) -> bytes:
        """Write the payload."""
        return layouts.WELCOME.build(vars(self))


@dataclass(frozen=True)
class Probe:
    """Asks for a ProbeReply on the same link.

    `sent_datagrams` counts what the sender has put on this link so far: the link keeps order, so
    the receiver's own count tells what was lost. `token` echoes the last challenge, or zeros.
    `rate_kbits` a second is what the sender takes the link to carry towards the receiver, or 0.
    """

    probe_id: int
    sent_us: int
    sent_datagrams: int
    next_bulk_seq: int
    token: bytes
    rate_kbits: int = 0


@dataclass(frozen=True)
class ProbeReply:
    """Answers a Probe; `token` challenges the address that the probe came from."""

    probe_id: int
    probe_sent_us: int
    received_us: int
    received_datagrams: int
    token: bytes


@dataclass(frozen=True)
class Nack:
    """Bulk seqs known to be lost: up to 64 times (first, count), counts from 1 to 65 535."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Marker:
    """The next bulk datagram on this link will be `next_bulk_seq` or later."""

    next_bulk_seq: int


@dataclass(frozen=True)
class Bye:
    """The sender ends the session."""

    reason: int


@dataclass(frozen=True)
class LinksAck:
    """The server has this link table, or a newer one."""

    serial: int


ControlMessage = (
    Probe | ProbeReply | Report | Nack | Marker | Bye | LinkTable | LinksAck | SizeProbe | SizeReply
)


def parse_init(data: bytes) -> Init:
    """Read an INIT without its MACs."""
    fields = layouts.INIT.parse(data)
    if fields.version != PROTOCOL_VERSION:
        raise PeerError(Drop.BAD_VERSION, f"version {fields.version}")
    _require(fields.session != 0, Drop.BAD_HANDSHAKE, "session 0")
    return Init(fields.suite, fields.session, fields.noise)


def parse_response(data: bytes) -> Response:
    """Read a RESPONSE without its MAC."""
    fields = layouts.RESPONSE.parse(data)
    _require(fields.session != 0, Drop.BAD_HANDSHAKE, "session 0")
    return Response(fields.client_session, fields.session, fields.noise)


def parse_cookie(data: bytes) -> Cookie:
    """Read a COOKIE."""
    fields = layouts.COOKIE.parse(data)
    return Cookie(fields.client_session, fields.nonce, fields.sealed)


def parse_hello(data: bytes) -> Hello:
    """Read INIT's payload."""
    fields = layouts.HELLO.parse(data)
    table = LinkTable.read(fields.serial, fields.copies, fields.links, Drop.BAD_HANDSHAKE)
    return Hello(
        fields.timestamp_us, fields.boot_id, fields.cookie, fields.next_bulk_seq, fields.mtu, table
    )


def parse_welcome(data: bytes) -> Welcome:
    """Read RESPONSE's payload."""
    fields = layouts.WELCOME.parse(data)
    return Welcome(fields.boot_id, fields.next_bulk_seq, fields.mtu)


def encode_control(message: ControlMessage) -> bytes:
    """Write a control message; values that do not fit raise ValueError or struct.error."""
    if isinstance(message, Report):
        return _REPORT + encode_report(message)
    kind, layout = _KINDS[type(message)]
    fields = message.fields() if isinstance(message, LinkTable) else vars(message)
    return kind + layout.build(fields)


def parse_control(data: bytes) -> ControlMessage:
    """Read the plaintext of a control datagram, or raise PeerError."""
    kind = data[:1]
    if kind == _REPORT:
        return parse_report(data[1:])
    _require(kind in _CONTROL, Drop.BAD_MESSAGE, "no control message that we know")
    layout, _, make = _CONTROL[kind]
    return make(**layout.parse(data[1:]))


def _make_nack(ranges: list[list[int]]) -> Nack:
    _require(len(ranges) <= MAX_NACK_RANGES, Drop.BAD_MESSAGE, f"{len(ranges)} ranges")
    _require(all(count for _, count in ranges), Drop.BAD_MESSAGE, "an empty range")
    return Nack(tuple((first, count) for first, count in ranges))


def _make_links(serial: int, copies: int, links: list[Any]) -> LinkTable:
    return LinkTable.read(serial, copies, links, Drop.BAD_MESSAGE)


def _require(condition: bool, refusal: Drop, detail: str) -> None:
    if not condition:
        raise PeerError(refusal, detail)


_REPORT: Final = b"\3"
# All others: the kind byte, what follows it, the class, and how it is made from the fields.
_CONTROL: Final[dict[bytes, tuple[Layout, type, Callable[..., ControlMessage]]]] = {
    b"\1": (layouts.PROBE, Probe, Probe),
    b"\2": (layouts.PROBE_REPLY, ProbeReply, ProbeReply),
    b"\4": (layouts.NACK, Nack, _make_nack),
    b"\5": (layouts.MARKER, Marker, Marker),
    b"\6": (layouts.BYE, Bye, Bye),
    b"\7": (layouts.LINKS, LinkTable, _make_links),
    b"\x08": (layouts.LINKS_ACK, LinksAck, LinksAck),
    b"\x09": (layouts.SIZE_PROBE, SizeProbe, SizeProbe),
    b"\x0a": (layouts.SIZE_REPLY, SizeReply, SizeReply),
}
_KINDS: Final = {cls: (kind, layout) for kind, (layout, cls, _) in _CONTROL.items()}
