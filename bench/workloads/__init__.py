"""What is sent: every kind of traffic behind one interface.

A workload runs once over a `Way` and says what came of it. The harness pings beside it, samples
the lines and meters the CPU; a workload does none of that.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from bench.contenders import Way

Direction = Literal["down", "up", "both"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a workload; None where it does not apply.

    Goodput is what the receiving program got, without any header, in bits per second; `intervals`
    is the same for every `interval_seconds` of the run, which began `lead_seconds` after the
    profile's clock. `retransmits` counts TCP segments; `lost`
    is the share of datagrams that did not arrive. `round_trips_seconds` are pings, in order of
    their answers; `tcp_round_trips_seconds` the sending TCP's own smoothed ones, one for each
    interval: what its frames wait for, queues and order included. `figures` has all else, by a
    name that ends in its unit.
    """

    goodput_bits_per_second: float | None = None
    interval_seconds: float = 0.1
    intervals: tuple[float, ...] = ()
    lead_seconds: float = 0.0
    retransmits: int | None = None
    lost: float | None = None
    pings_sent: int = 0
    round_trips_seconds: tuple[float, ...] = ()
    tcp_round_trips_seconds: tuple[float, ...] = ()
    figures: dict[str, float] = {}


class Workload(Protocol):
    """One kind of traffic."""

    @property
    def name(self) -> str:
        """What tables and options call it: letters, digits and dashes."""

    @property
    def about(self) -> str:
        """What it is, in a few words."""

    @property
    def direction(self) -> Direction | None:
        """Which bare lines its goodput is held against; None: it has no goodput."""

    @property
    def pinged(self) -> bool:
        """Whether the harness shall ping beside it."""

    def available(self) -> str | None:
        """Say why it cannot run here, in a short clause; None when it can."""

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        """Send for about `seconds`; TrafficError when that fails, at the latest 30 s after."""


def transfer(
    size_bytes: int,
    seconds: float,
    parts_bytes: Sequence[int],
    interval_seconds: float,
    figures: dict[str, float] | None = None,
) -> Outcome:
    """Say what a program's transfer comes to; of the bytes by interval, whole intervals count."""
    whole = parts_bytes[: int(seconds / interval_seconds)]
    return Outcome(
        goodput_bits_per_second=size_bytes * 8 / seconds,
        interval_seconds=interval_seconds,
        intervals=tuple(each * 8 / interval_seconds for each in whole),
        figures=figures or {},
    )
