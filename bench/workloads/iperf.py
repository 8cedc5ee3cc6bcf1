"""TCP and UDP streams by iperf3."""

import shutil
from dataclasses import dataclass

from bench.contenders import Way
from bench.traffic import Load, throughput
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
        return None if shutil.which("iperf3") else "no iperf3 here"

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        load = Load(
            seconds,
            down=self.direction == "down",
            streams=self.streams,
            congestion=self.congestion,
            device=way.device,
            interval_seconds=INTERVAL_SECONDS,
        )
        seen = throughput(way.client, way.server, way.address, load)
        return Outcome(
            goodput_bits_per_second=seen.bits_per_second,
            interval_seconds=INTERVAL_SECONDS,
            intervals=seen.intervals,
            retransmits=seen.retransmits,
        )


ALL = (
    Tcp("tcp-down", "one TCP stream (cubic), download"),
    Tcp("tcp-up", "one TCP stream (cubic), upload", direction="up"),
    Tcp("tcp-down-4", "4 TCP streams (cubic), download", streams=4),
    Tcp("tcp-down-16", "16 TCP streams (cubic), download", streams=16),
    Tcp("tcp-down-bbr", "one TCP stream (BBR), download", congestion="bbr"),
    Tcp("tcp-down-reno", "one TCP stream (reno), download", congestion="reno"),
)
