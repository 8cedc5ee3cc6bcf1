"""Traffic and what came of it: iperf3, ping, and how busy the machine was meanwhile."""

import itertools
import json
import re
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.lab.namespace import Namespace

GRACE_SECONDS: Final = 15.0  # beyond a measurement's own time, for connecting and for the last data

_ports: Final = itertools.count(5201)  # one per measurement: no waiting for the last one's end


class TrafficError(Exception):
    """A program that makes traffic did not do so; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What arrived at the receiving end, without headers.

    `intervals` are bits per second, one for each `interval_seconds` of the run. `retransmits` is
    the sender's count of TCP segments; `lost` is the share of UDP datagrams that did not arrive.
    """

    bits_per_second: float
    intervals: tuple[float, ...]
    retransmits: int | None = None
    lost: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What iperf3 shall send: one cubic stream towards the client, unless told otherwise.

    `device` binds the client's socket. With `udp_bits_per_second` it is UDP of that rate, in
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


class RunningLoad:
    """An iperf3 that has been started; `result` waits for its end."""

    def __init__(self, client: Namespace, server: Namespace, address: str, load: Load) -> None:
        self._load = load
        port = next(_ports)
        interval = f"{load.interval_seconds:g}"
        self._server = server.popen(
            ["iperf3", "-s", "--one-off", "--json", "--interval", interval, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the client gets it, and hands it on
            stderr=subprocess.DEVNULL,
        )
        _wait_for_listener(self._server, port)
        self._client = client.popen(
            ["iperf3", "--client", address, "--port", str(port), *_arguments(load)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def result(self) -> Throughput:
        """Wait for the end; TrafficError when iperf3 failed or is late by GRACE_SECONDS."""
        try:
            out, _ = self._client.communicate(timeout=self._load.seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TrafficError(f"iperf3 has not ended after {error.timeout:.0f} s") from error
        finally:
            for process in (self._client, self._server):
                process.kill()
                process.communicate()
        return _read_iperf3(out, self._load)


def _wait_for_listener(process: subprocess.Popen[Any], port: int) -> None:
    """Wait until somebody listens on a TCP port in the namespace that a process runs in."""
    listening = re.compile(rf":{port:04X} \S+ 0A ")
    deadline = time.monotonic() + GRACE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        tables = (Path(f"/proc/{process.pid}/net", name) for name in ("tcp", "tcp6"))
        if any(listening.search(table.read_text()) for table in tables):
            return
        time.sleep(0.01)
    raise TrafficError("the iperf3 server does not listen")


def start_load(client: Namespace, server: Namespace, address: str, load: Load) -> RunningLoad:
    """Start sending between the client and `address`, where the server's namespace listens."""
    return RunningLoad(client, server, address, load)


def throughput(client: Namespace, server: Namespace, address: str, load: Load) -> Throughput:
    """Send, wait and tell what arrived."""
    return start_load(client, server, address, load).result()


def _arguments(load: Load) -> list[str]:
    arguments = ["--json", "--get-server-output", "--time", f"{load.seconds:g}"]
    arguments += ["--interval", f"{load.interval_seconds:g}", "--parallel", str(load.streams)]
    if load.down:
        arguments.append("--reverse")
    if load.device is not None:
        arguments += ["--bind-dev", load.device]
    if load.udp_bits_per_second is None:
        arguments += ["--congestion", load.congestion]
    else:
        arguments += ["--udp", "--bitrate", f"{load.udp_bits_per_second:.0f}"]
        arguments += ["--length", str(load.datagram_bytes)]
    return arguments


def _read_iperf3(output: str, load: Load) -> Throughput:
    """Take the receiver's view out of the client's document (which holds the server's too)."""
    try:
        document: dict[str, Any] = json.loads(output)
        if "error" in document:
            raise TrafficError(f"iperf3: {document['error']}")
        receiver = document if load.down else document["server_output_json"]
        sums = [interval["sum"] for interval in receiver["intervals"]]
        intervals = tuple(
            float(each["bits_per_second"])
            for each in sums
            if each["seconds"] > load.interval_seconds / 2  # not the rest at the end
        )
        end = document["end"]
        if load.udp_bits_per_second is None:
            return Throughput(
                float(end["sum_received"]["bits_per_second"]),
                intervals,
                retransmits=int(end["sum_sent"]["retransmits"]),
            )
        received = end["sum_received"]
        return Throughput(
            float(received["bits_per_second"]),
            intervals,
            lost=float(received["lost_percent"]) / 100,
        )
    except (json.JSONDecodeError, KeyError) as error:
        raise TrafficError(f"iperf3 said something unexpected: {output[-500:]}") from error


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


class RunningPing:
    """A ping that has been started; `result` waits for its end."""

    def __init__(self, namespace: Namespace, argv: Sequence[str], seconds: float) -> None:
        self._seconds = seconds
        self._process = namespace.popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def result(self) -> Pings:
        """Wait for the end; TrafficError when ping failed."""
        try:
            out, _ = self._process.communicate(timeout=self._seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.communicate()
            raise TrafficError(f"ping has not ended after {error.timeout:.0f} s") from error
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
    return RunningPing(namespace, [*argv, address], seconds)


def ping(
    namespace: Namespace,
    address: str,
    seconds: float,
    interval_seconds: float = 0.1,
    device: str | None = None,
) -> Pings:
    """Ping, wait and tell what came back."""
    return start_ping(namespace, address, seconds, interval_seconds, device).result()


class CpuMeter:
    """How much of the machine's CPU time idled while the `with` block ran.

    Inside user-mode Linux the machine is the guest's one CPU. Less than 20 % idle there means that
    the CPU, and not netem, set the figures: they are void.
    """

    ENOUGH_IDLE = 0.2

    def __enter__(self) -> Self:
        self._before = _cpu_ticks()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        after = _cpu_ticks()
        ticks = {name: after[name] - self._before[name] for name in after}
        self.idle_share = (ticks["idle"] + ticks["iowait"]) / max(sum(ticks.values()), 1)


def _cpu_ticks() -> Mapping[str, int]:
    """Clock ticks of all CPUs since boot, by what they were spent on (proc(5))."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return dict(zip(names, map(int, fields), strict=False))
