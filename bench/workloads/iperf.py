"""TCP and UDP streams by iperf3."""

import time
from dataclasses import dataclass
from typing import TypedDict

from bench.contenders import Way
from bench.processes import missing
from bench.traffic import Load, RunningLoad, Throughput, start_load
from bench.workloads import Direction, Outcome

INTERVAL_SECONDS = 0.1


@dataclass(frozen=True)
class Tcp:
    """TCP streams in one direction."""

    name: str
    about: str
    direction: Direction = "down"
    streams: int = 1
    congestion: str = "cubic"
    pinged: bool = True

    def available(self) -> str | None:
        return missing("iperf3")

    def start(self, way: Way, seconds: float) -> RunningLoad:
        """Start sending; the result can be waited for."""
        load = Load(
            seconds,
            down=self.direction != "up",
            both=self.direction == "both",
            streams=self.streams,
            congestion=self.congestion,
            device=way.device,
            interval_seconds=INTERVAL_SECONDS,
            wrap=way.wrap,
        )
        return start_load(way.client, way.server, way.address, load)

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        began = time.monotonic()
        load = self.start(way, seconds)
        lead_seconds = time.monotonic() - began
        seen = load.result()
        return Outcome(
            lead_seconds=lead_seconds,
            interval_seconds=INTERVAL_SECONDS,
            retransmits=seen.retransmits,
            tcp_round_trips_seconds=seen.round_trips_seconds,
            **_goodput(seen),
        )


class _Goodput(TypedDict):
    goodput_bits_per_second: float
    intervals: tuple[float, ...]
    figures: dict[str, float]


def _goodput(seen: Throughput) -> _Goodput:
    """Goodput as an outcome has it: of both directions together if there were two."""
    if seen.other is None:
        return {
            "goodput_bits_per_second": seen.bits_per_second,
            "intervals": seen.intervals,
            "figures": {},
        }
    return {
        "goodput_bits_per_second": seen.bits_per_second + seen.other.bits_per_second,
        "intervals": tuple(
            down + up for down, up in zip(seen.intervals, seen.other.intervals, strict=False)
        ),
        "figures": {
            "down_bits_per_second": seen.bits_per_second,
            "up_bits_per_second": seen.other.bits_per_second,
        },
    }


ALL = (
    Tcp("tcp-down", "one TCP stream (cubic), download"),
    Tcp("tcp-up", "one TCP stream (cubic), upload", direction="up"),
    Tcp("tcp-both", "one TCP stream (cubic) in each direction", direction="both"),
    Tcp("tcp-down-4", "4 TCP streams (cubic), download", streams=4),
    Tcp("tcp-down-16", "16 TCP streams (cubic), download", streams=16),
    Tcp("tcp-down-bbr", "one TCP stream (BBR), download", congestion="bbr"),
    Tcp("tcp-down-reno", "one TCP stream (reno), download", congestion="reno"),
)
