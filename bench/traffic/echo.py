"""Ping: round trips, one after the other."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.lab.namespace import Namespace
from bench.traffic.program import Program, TrafficError


@dataclass(frozen=True, slots=True)
class Pings:
    """Round trips in the order of their answers, in seconds, and how many were asked."""

    sent: int
    round_trips_seconds: tuple[float, ...]

    @property
    def lost(self) -> float:
        """Share of the pings without an answer."""
        return 1 - len(self.round_trips_seconds) / self.sent

    @property
    def mean_seconds(self) -> float:
        """Mean round trip; infinite when nothing came back."""
        return statistics.fmean(self.round_trips_seconds or (float("inf"),))

    @property
    def maximum_seconds(self) -> float:
        """Longest round trip; infinite when nothing came back."""
        return max(self.round_trips_seconds, default=float("inf"))

    def percentile_seconds(self, share: float) -> float:
        """The round trip that `share` of the answers (0 to 1) did not exceed; infinite if none."""
        return percentile(self.round_trips_seconds, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values (0 to 1) do not exceed.

    Infinite when there are none: what never arrived took for ever.
    """
    if not values:
        return float("inf")
    return sorted(values)[max(-int(-len(values) * share // 1), 1) - 1]


class RunningPing:
    """A ping that has been started; `result` waits for its end."""

    def __init__(self, program: Program, seconds: float) -> None:
        self._program = program
        self._seconds = seconds

    def result(self) -> Pings:
        """Wait for the end; TrafficError when ping failed."""
        out = self._program.output(self._seconds)
        summary = re.search(r"(\d+) packets transmitted", out)
        if summary is None:
            raise TrafficError(f"ping: {out[-500:]}")
        times = re.findall(r"time=([\d.]+) ms(?! \(DUP!\))", out)
        return Pings(int(summary[1]), tuple(float(time) / 1000 for time in times))


def start_ping(
    namespace: Namespace,
    address: str,
    seconds: float,
    interval_seconds: float = 0.1,
    device: str | None = None,
) -> RunningPing:
    """Start pinging `address` for `seconds`, and at most 2 s more for the last answers."""
    count = max(round(seconds / interval_seconds), 1)
    argv = ["ping", "-n", "-i", f"{interval_seconds:g}", "-c", str(count), "-W", "2"]
    if device is not None:
        argv += ["-I", device]
    return RunningPing(Program(namespace, [*argv, address]), seconds)


def ping(
    namespace: Namespace,
    address: str,
    seconds: float,
    interval_seconds: float = 0.1,
    device: str | None = None,
) -> Pings:
    """Ping, wait and tell what came back."""
    return start_ping(namespace, address, seconds, interval_seconds, device).result()
