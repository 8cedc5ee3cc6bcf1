"""What a report says, and its bytes after the kind: the one control message there are many of.

Forty a second answer a flow of bulk, and each says what every link brought. So the layout is packed
here by `struct`: `construct` takes five to ten times as long (for eight links 0.35 ms to write and
0.6 to read), which shows on a small router. All numbers are big-endian.

    stalled 8 | links 8 | for each link:
      link 8 | bulk_datagrams 64 | wire_bytes 64 | floor 40 | quiet_ms 16 | newest 8: 0 or 1
      newest:  seq 40 | arrival_us 64
      earlier 8: how many, each by its distance from the one after it:
               seqs 16 | us 24
"""

import struct
from dataclasses import dataclass
from typing import Final

from .errors import Drop, PeerError
from .wire import MAX_LINKS, SEQ_MASK

MAX_REPORT_SAMPLES: Final = 8

# Where struct knows no width, the upper bits and the lower ones: 40 are BI, 24 are BH.
_HEAD: Final = struct.Struct("!BB")
_LINK: Final = struct.Struct("!BQQBIHB")
_NEWEST: Final = struct.Struct("!BIQ")
_STEP: Final = struct.Struct("!HBH")
_LOW: Final = 0xFFFF_FFFF

Samples = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LinkReport:
    """What arrived over one link so far, its floor, and up to 8 (seq, arrival_us) of late.

    The counts are of the moment when the last sample arrived. Samples are in the order of their
    arrival; those that lie more than 65 535 seqs or 16 s before the next are left out. `quiet_ms`
    is the time since anything authentic came over the link, 65 535 if that is longer.
    """

    link: int
    bulk_datagrams: int
    wire_bytes: int
    floor: int
    quiet_ms: int
    samples: Samples


@dataclass(frozen=True)
class Report:
    """What arrived. A link takes 26 to 74 bytes.

    `stalled`: the receiver came late to its sockets, so arrival times may be wrong.
    """

    links: tuple[LinkReport, ...]
    stalled: bool = False


def encode_report(report: Report) -> bytes:
    """Write a report; values that do not fit raise struct.error."""
    parts = [_HEAD.pack(report.stalled, len(report.links))]
    for link in report.links:
        floor, samples = link.floor, link.samples
        counts = link.link, link.bulk_datagrams, link.wire_bytes
        has = len(samples) > 0
        parts.append(_LINK.pack(*counts, floor >> 32, floor & _LOW, link.quiet_ms, has))
        steps: list[bytes] = []
        if has:
            next_seq, next_at = samples[-1]
            parts.append(_NEWEST.pack(next_seq >> 32, next_seq & _LOW, next_at))
            for seq, at in samples[-2::-1]:
                seqs, us = next_seq - seq & SEQ_MASK, next_at - at
                if seqs >> 16 or us >> 24:
                    break
                steps.append(_STEP.pack(seqs, us >> 16, us & 0xFFFF))
                next_seq, next_at = seq, at
        parts.append(bytes((len(steps),)))
        parts += steps
    return b"".join(parts)


def parse_report(data: bytes) -> Report:
    """Read all of `data`, or raise PeerError."""
    try:
        stalled, count = _HEAD.unpack_from(data)
        links, position = [], _HEAD.size
        for _ in range(count):
            link, position = _parse_link(data, position)
            links.append(link)
    except (struct.error, IndexError) as error:
        raise PeerError(Drop.BAD_MESSAGE, f"{len(data)} bytes: it ends early") from error
    if position != len(data):
        raise PeerError(Drop.BAD_MESSAGE, f"{len(data)} bytes: {len(data) - position} too many")
    return Report(tuple(links), bool(stalled))


def _parse_link(data: bytes, position: int) -> tuple[LinkReport, int]:
    """Read one link; return it, and where the next begins."""
    number, bulk, wire, high, low, quiet_ms, newest = _LINK.unpack_from(data, position)
    if number >= MAX_LINKS:
        raise PeerError(Drop.BAD_MESSAGE, f"link {number}")
    position += _LINK.size
    samples: list[tuple[int, int]] = []
    if newest == 1:
        seq_high, seq_low, at = _NEWEST.unpack_from(data, position)
        position += _NEWEST.size
        samples.append((seq_high << 32 | seq_low, at))
    earlier = data[position]
    position += 1
    if newest > 1 or earlier > (MAX_REPORT_SAMPLES - 1) * newest:
        raise PeerError(Drop.BAD_MESSAGE, f"{newest} and {earlier} samples")
    for _ in range(earlier):
        seqs, us_high, us_low = _STEP.unpack_from(data, position)
        position += _STEP.size
        seq, at = samples[-1]
        samples.append((seq - seqs & SEQ_MASK, at - (us_high << 16 | us_low)))
    samples.reverse()
    return LinkReport(number, bulk, wire, high << 32 | low, quiet_ms, tuple(samples)), position
