"""iperf3: streams of TCP at full speed, or UDP at a rate; down, up or both at once."""

import contextlib
import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from bench.lab.namespace import Namespace
from bench.traffic.program import Program, TrafficError, listening, next_port


@dataclass(frozen=True, slots=True)
class Throughput:
    """What arrived at the receiving end, without headers.

    `intervals` are bits per second, one for each `interval_seconds` of the run. `retransmits` is
    the sender's count of TCP segments; `lost` is the share of UDP datagrams that did not arrive.
    `round_trips_seconds` are the sending TCP's own smoothed ones, of the first stream, one for
    each interval: how long its frames and their acknowledgements take.
    `other` is the opposite direction of a transfer that went both ways at once.
    """

    bits_per_second: float
    intervals: tuple[float, ...]
    retransmits: int | None = None
    lost: float | None = None
    round_trips_seconds: tuple[float, ...] = ()
    other: "Throughput | None" = None


@dataclass(frozen=True, slots=True)
class Load:
    """What iperf3 shall send: one cubic stream towards the client, unless told otherwise.

    iperf3 knows whole seconds only: it sends for so many, rounded up.
    `both` sends the other way at the same time. `device` binds the client's socket; `wrap` stands
    before the words of both commands. With `udp_bits_per_second` it is UDP of that rate, in
    datagrams of `datagram_bytes`.
    """

    seconds: float
    down: bool = True
    streams: int = 1
    congestion: str = "cubic"
    device: str | None = None
    udp_bits_per_second: float | None = None
    datagram_bytes: int = 1200
    interval_seconds: float = 1.0
    both: bool = False
    wrap: tuple[str, ...] = ()


class RunningLoad:
    """An iperf3 that has been started; `result` waits for its end."""

    def __init__(self, client: Namespace, server: Namespace, address: str, load: Load) -> None:
        self._load = load
        number = next_port()
        port = str(number)
        interval = f"{load.interval_seconds:g}"
        serve = ["iperf3", "--server", "--one-off", "--json", "--interval", interval]
        # Bound, because UDP is else answered from another of the server's addresses.
        serve += ["--port", port, "--bind", address]
        call = ["iperf3", "--client", address, "--port", port]
        with contextlib.ExitStack() as stack:
            stack.enter_context(listening(server, [*load.wrap, *serve], number))
            self._client = Program(client, [*load.wrap, *call, *_arguments(load)])
            self._server = stack.pop_all()

    def result(self) -> Throughput:
        """Wait for the end; TrafficError when iperf3 failed or is late."""
        with self._server:
            return _read(self._client.output(self._load.seconds), self._load)


def start_load(client: Namespace, server: Namespace, address: str, load: Load) -> RunningLoad:
    """Start sending between the client and `address`, where the server's namespace listens."""
    return RunningLoad(client, server, address, load)


def throughput(client: Namespace, server: Namespace, address: str, load: Load) -> Throughput:
    """Send, wait and tell what arrived."""
    return start_load(client, server, address, load).result()


def _arguments(load: Load) -> list[str]:
    arguments = ["--json", "--get-server-output", "--time", str(math.ceil(load.seconds))]
    arguments += ["--interval", f"{load.interval_seconds:g}", "--parallel", str(load.streams)]
    if load.both:
        arguments.append("--bidir")
    elif load.down:
        arguments.append("--reverse")
    if load.device is not None:
        arguments += ["--bind-dev", load.device]
    if load.udp_bits_per_second is None:
        arguments += ["--congestion", load.congestion]
    else:
        arguments += ["--udp", "--bitrate", f"{load.udp_bits_per_second:.0f}"]
        arguments += ["--length", str(load.datagram_bytes)]
    return arguments


def _read(output: str, load: Load) -> Throughput:
    """Take the receiver's view out of the client's document (which holds the server's too)."""
    try:
        document: dict[str, Any] = json.loads(output)
        if "error" in document:
            raise TrafficError(f"iperf3: {document['error']}")
        if not load.both:
            return _direction(document, load, down=load.down, suffix="")
        up = _direction(document, load, down=False, suffix="")
        down = _direction(document, load, down=True, suffix="_bidir_reverse")
        first, other = (down, up) if load.down else (up, down)
        return dataclasses.replace(first, other=other)
    except (json.JSONDecodeError, KeyError) as error:
        raise TrafficError(f"iperf3 said something unexpected: {output[-500:]}") from error


def _direction(document: dict[str, Any], load: Load, *, down: bool, suffix: str) -> Throughput:
    """Read one direction; with `suffix`, the second of two."""
    end = document["end"]
    received = end[f"sum_received{suffix}"]
    receiver = document if down else document["server_output_json"]
    intervals = tuple(
        float(each["bits_per_second"])
        for each in (interval[f"sum{suffix}"] for interval in receiver["intervals"])
        if each["seconds"] > load.interval_seconds / 2  # not the rest at the end
    )
    if load.udp_bits_per_second is None:
        sent = end[f"sum_sent{suffix}"]
        sender = document["server_output_json"] if down else document
        # Only streams that send have an rtt.
        trips = [
            [each["rtt"] / 1e6 for each in interval["streams"] if "rtt" in each]
            for interval in sender["intervals"]
        ]
        return Throughput(
            float(received["bits_per_second"]),
            intervals,
            sent["retransmits"],
            round_trips_seconds=tuple(each[0] for each in trips if each),
        )
    lost = float(received["lost_percent"]) / 100
    return Throughput(float(received["bits_per_second"]), intervals, lost=lost)
