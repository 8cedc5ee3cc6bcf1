"""Nothing but a ping: what the line or tunnel feels like when nobody else uses it."""

from dataclasses import dataclass
from typing import Final

from bench.contenders import Way
from bench.traffic import ping
from bench.workloads import Outcome

MAX_SECONDS: Final = 10.0  # an idle line has little more to tell


@dataclass(frozen=True)
class IdlePing:
    """Ten pings a second."""

    name: str = "ping"
    about: str = "ping, nothing else"
    direction: None = None
    pinged: bool = False

    def available(self) -> str | None:
        return None

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        seen = ping(way.client, way.address, min(seconds, MAX_SECONDS), device=way.device)
        return Outcome(pings_sent=seen.sent, round_trips_seconds=seen.round_trips_seconds)
