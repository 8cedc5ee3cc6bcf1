"""A telephone call: 50 datagrams of 160 bytes a second in both directions, and what they feel."""

from dataclasses import dataclass
from typing import Any, Final

from bench.contenders import Way
from bench.programs import command, device_option
from bench.traffic import Program, listening, next_port, percentile
from bench.workloads import Outcome
from bench.workloads.iperf import Tcp

INTERVAL_SECONDS: Final = 0.020
DATAGRAM_BYTES: Final = 160  # G.711, 20 ms
LEAD_SECONDS: Final = 1.0  # what is beside it begins that much earlier, and ends later


@dataclass(frozen=True)
class Voice:
    """A call, alone or beside TCP streams; its `lost` is the worse direction's."""

    name: str = "voice"
    about: str = "a telephone call"
    direction: None = None
    pinged: bool = False
    beside: Tcp | None = None

    def available(self) -> str | None:
        return self.beside.available() if self.beside is not None else None

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        port = next_port()
        where = (way.address, str(port))
        words = ["--seconds", str(seconds), "--interval", str(INTERVAL_SECONDS)]
        words += ["--size", str(DATAGRAM_BYTES)]
        answer = command("voice_end", "answer", *where, *words)
        dial = command("voice_end", "call", *where, *words, *device_option(way.device))
        load = self.beside.start(way, seconds + 2 * LEAD_SECONDS) if self.beside else None
        with (
            listening(way.server, answer, port, "udp") as server,
            Program(way.client, dial) as client,
        ):
            heard = {"down": client.document(seconds), "up": server.document(seconds)}
            goodput = load.result().bits_per_second if load is not None else None
        figures = {} if goodput is None else {"beside_bits_per_second": goodput}
        for direction, document in heard.items():
            figures |= {f"{direction}_{name}": value for name, value in _felt(document).items()}
        return Outcome(
            lost=max(figures["down_lost_share"], figures["up_lost_share"]), figures=figures
        )


def _felt(document: dict[str, Any]) -> dict[str, float]:
    """Figures of what one end heard of the other; without delays when it heard nothing."""
    delays = document["delays"]
    lost = {"lost_share": 1 - len(delays) / document["expected"]}
    if not delays:
        return lost
    return lost | {
        "delay_p50_seconds": percentile(delays, 0.50),
        "delay_p95_seconds": percentile(delays, 0.95),
        "delay_p99_seconds": percentile(delays, 0.99),
        "delay_most_seconds": max(delays),
        "jitter_seconds": document["jitter"],
        "reordered_share": document["reordered"] / document["expected"],
        "duplicates_share": document["duplicates"] / document["expected"],
    }


ALL = (
    Voice(),
    Voice(
        "voice-tcp",
        "a telephone call beside a TCP download",
        beside=Tcp("tcp-down", "one TCP stream (cubic), download"),
    ),
)
