"""Lines as an ISP would sell them: what netem is told, by name.

All rates count IP packets: netem is told to leave out the 14 bytes of Ethernet header.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a line.

    `delay_seconds` is one way; `loss` is the probability that a packet is lost, at random;
    `buffer_seconds` is how much the modem queues, in time at the line's rate, before it drops.
    """

    rate_bits_per_second: float
    delay_seconds: float
    buffer_seconds: float
    jitter_seconds: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """An internet line: down is towards the client."""

    name: str
    down: Direction
    up: Direction

    @property
    def round_trip_seconds(self) -> float:
        """Round trip of an idle line, without jitter and the packets' own time on the wire."""
        return self.down.delay_seconds + self.up.delay_seconds


Profile = tuple[Line, ...]


def symmetric(name: str, direction: Direction) -> Line:
    """Make a line that is the same in both directions."""
    return Line(name, direction, direction)


# 200 ms of buffer: what home modems have, in order of size; four times what cubic needs to fill
# either line alone, little enough that a full queue is seen as such by TCP.
ADSL: Final = symmetric("ADSL", Direction(10e6, delay_seconds=0.011, buffer_seconds=0.2))
MOBILE: Final = symmetric("mobile", Direction(3e6, delay_seconds=0.060, buffer_seconds=0.2))

PROFILES: Final[dict[str, Profile]] = {"adsl-mobile": (ADSL, MOBILE)}
