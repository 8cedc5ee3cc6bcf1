"""The snapshot that `wrrtun status` shows: its types, its JSON and its text. Pure.

The daemon fills the types in and sends to_json(); the command reads it with from_json() and prints
to_text(). Sent and received are the tunnel's view: what our device gave it to send, what it handed
to our device. Seconds, bytes and bits per second throughout; null is "not known yet".
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from .core.errors import WrrtunError

UNKNOWN: Final = "-"


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The network device of one peer."""

    name: str
    mtu: int
    offloads: list[str]
    sent_frames: int
    sent_bytes: int
    received_frames: int
    received_bytes: int


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The session with a peer; ids and age are None while there is none."""

    up: bool
    local_id: int | None
    remote_id: int | None
    age_seconds: float | None
    rekeys: int
    cipher: str | None


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One link, seen from this end: weight, rate and share are those of sending."""

    number: int
    name: str | None  # only the client knows
    state: str
    role: str = "usual"  # usual, metered or backup
    part: float = 1.0  # of its time, in which a metered link may carry
    reason: str  # why it is in this state, "" when there is nothing to say
    local_address: str | None
    remote_address: str | None
    weight: float
    rate_bits_per_second: float | None  # what this end has found, or was given
    rate_state: str  # of finding it
    rate_in_bits_per_second: float | None  # what the other end has found, towards this one
    mtu_bytes: int | None = None  # the longest IP packet that passes; None until it is found
    rtt_seconds: float | None
    rtt_variation_seconds: float | None
    skew_seconds: float | None  # one-way delay beyond the fastest link's
    loss_in: float | None  # fractions, 0 to 1
    loss_out: float | None
    sent_bytes: int
    received_bytes: int
    sent_datagrams: int
    received_datagrams: int
    share: float | None  # of the bulk bytes sent, 0 to 1


class ReorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The reorder buffer: what it holds now, and what became of datagrams since the start."""

    held_frames: int
    held_bytes: int
    hold_seconds: float | None
    released: int
    late: int
    spare_copies: int = 0  # that came after the first, where frames go over several links
    gaps_given_up_by_inference: int
    gaps_given_up_by_deadline: int
    repaired: int = 0  # lost, asked for, and come in time
    nacks_sent: int = 0  # messages that asked for something
    nacks_received: int = 0
    repairs_sent: int = 0  # frames sent again because the other end missed them
    repairs_refused: int = 0  # beyond what may be sent again


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The queue in front of the links: bytes and delay now, frames since the start."""

    bytes: int
    delay_seconds: float | None
    bulk_frames: int
    express_frames: int
    dropped: int
    superseded_acks: int = 0  # left out, as a later one said the same and more


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One peer: the client has one, the server as many as are configured."""

    name: str
    device: DeviceStatus
    session: SessionStatus
    links: list[LinkStatus]
    reorder: ReorderStatus
    queue: QueueStatus
    drops: dict[str, int]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon at one moment; `drops` counts what could not be laid at any peer's door."""

    role: str
    version: str
    uptime_seconds: float
    peers: list[PeerStatus]
    drops: dict[str, int]

    def to_json(self) -> bytes:
        """Write the snapshot as one line of JSON."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(document: bytes) -> "Snapshot":
        """Read a snapshot, letting a newer daemon's unknown keys be; WrrtunError if it is none."""
        try:
            return msgspec.json.decode(document, type=Snapshot)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WrrtunError(f"the daemon's answer is no status snapshot: {error}") from None

    def to_text(self) -> str:
        """Write the snapshot for people, as lines with a newline at the end of each."""
        lines = [f"wrrtun {self.version} {self.role}, up {duration(self.uptime_seconds)}"]
        for peer in self.peers:
            lines += ["", *_peer_lines(peer)]
        if self.drops:
            lines += ["", f"dropped before any peer was known: {_counts(self.drops)}"]
        return "".join(line + "\n" for line in lines)


def duration(seconds: float | None) -> str:
    """Write a long time with its two leading units: 42 s, 3 min 5 s, 2 h 0 min, 3 d 4 h."""
    if seconds is None:
        return UNKNOWN
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def milliseconds(seconds: float | None) -> str:
    """Write a delay: 22.1 ms."""
    return UNKNOWN if seconds is None else f"{seconds * 1000:.1f} ms"


def percent(fraction: float | None) -> str:
    """Write a fraction: 76.9 %."""
    return UNKNOWN if fraction is None else f"{fraction * 100:.1f} %"


def scaled(value: float | None, unit: str) -> str:
    """Write a size or rate with a decimal prefix: 512 B, 1.2 GB, 9.8 Mbit/s."""
    if value is None:
        return UNKNOWN
    prefixes = ["", "k", "M", "G", "T", "P"]
    # 999.95 would be rounded up to four digits.
    while len(prefixes) > 1 and abs(value) >= (999.5 if prefixes[0] == "" else 999.95):
        value /= 1000
        del prefixes[0]
    return f"{value:.0f} {unit}" if prefixes[0] == "" else f"{value:.1f} {prefixes[0]}{unit}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    """Align columns, two blanks apart: `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _peer_lines(peer: PeerStatus) -> Iterator[str]:
    yield f"peer {peer.name}: {_session(peer.session)}"
    device = peer.device
    yield (
        f"device {device.name}: mtu {device.mtu}, offloads {' '.join(device.offloads) or 'none'}; "
        f"sent {device.sent_frames} frames, {scaled(device.sent_bytes, 'B')}; "
        f"received {device.received_frames} frames, {scaled(device.received_bytes, 'B')}"
    )
    if peer.links:
        yield ""
        yield from _link_lines(peer.links)
        yield ""
    reorder, queue = peer.reorder, peer.queue
    yield (
        f"reorder: {reorder.held_frames} frames held ({scaled(reorder.held_bytes, 'B')}), "
        f"hold {milliseconds(reorder.hold_seconds)}; {reorder.released} released, "
        f"{reorder.late} late; given up: {reorder.gaps_given_up_by_inference} by inference, "
        f"{reorder.gaps_given_up_by_deadline} at the deadline"
    )
    yield (
        f"repair: {reorder.repaired} repaired, asked {reorder.nacks_sent} times; "
        f"sent again {reorder.repairs_sent}, asked {reorder.nacks_received} times, "
        f"refused {reorder.repairs_refused}"
    )
    yield (
        f"queue: {scaled(queue.bytes, 'B')}, delay {milliseconds(queue.delay_seconds)}; "
        f"{queue.bulk_frames} bulk and {queue.express_frames} express frames, "
        f"{queue.dropped} dropped, {queue.superseded_acks} acknowledgements superseded"
    )
    yield f"drops: {_counts(peer.drops)}"


def _session(session: SessionStatus) -> str:
    if not session.up:
        return "no session"
    ids = [
        UNKNOWN if each is None else f"{each:x}" for each in (session.local_id, session.remote_id)
    ]
    return (
        f"session up, {duration(session.age_seconds)} old, {session.rekeys} rekeys, "
        f"{session.cipher or UNKNOWN}, ids {' / '.join(ids)}"
    )


def _link_lines(links: Sequence[LinkStatus]) -> Iterator[str]:
    names = [f"{each.number} {each.name or ''}".rstrip() for each in links]
    yield from table(
        (
            "link",
            "state",
            "weight",
            "share",
            "rate out",
            "rate in",
            "rtt",
            "skew",
            "lost in",
            "lost out",
        ),
        [
            (
                name,
                each.state,
                f"{each.weight:.3g}",
                percent(each.share),
                scaled(each.rate_bits_per_second, "bit/s"),
                scaled(each.rate_in_bits_per_second, "bit/s"),
                _rtt(each),
                milliseconds(each.skew_seconds),
                percent(each.loss_in),
                percent(each.loss_out),
            )
            for name, each in zip(names, links, strict=True)
        ],
        left=2,
    )
    yield ""
    yield from table(
        ("link", "from", "to", "mtu", "sent", "datagrams", "received", "datagrams"),
        [
            (
                name,
                each.local_address or UNKNOWN,
                each.remote_address or UNKNOWN,
                str(each.mtu_bytes or UNKNOWN),
                scaled(each.sent_bytes, "B"),
                str(each.sent_datagrams),
                scaled(each.received_bytes, "B"),
                str(each.received_datagrams),
            )
            for name, each in zip(names, links, strict=True)
        ],
        left=3,
    )
    for name, each in zip(names, links, strict=True):
        if each.reason:
            role = "" if each.role == "usual" else f", {each.role}"
            if each.part < 1:
                role += f" ({percent(each.part)} of its time)"
            yield f"link {name} is {each.state}{role}: {each.reason}"


def _rtt(link: LinkStatus) -> str:
    text = milliseconds(link.rtt_seconds)
    if link.rtt_seconds is None or link.rtt_variation_seconds is None:
        return text
    return f"{text} ± {link.rtt_variation_seconds * 1000:.1f}"


def _counts(drops: dict[str, int]) -> str:
    """List the reasons, the most frequent first."""
    ordered = sorted(drops.items(), key=lambda drop: (-drop[1], drop[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered) or "none"
