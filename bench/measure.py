"""Measure one row: bring the contender up, send, watch, take it down."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Final, NoReturn

import msgspec

from bench.contenders import Contender, Way
from bench.lab.topology import Lab
from bench.lab.weather import Weather
from bench.processes import ProcessError
from bench.profiles import Profile
from bench.results import Result, Row, Samples, now
from bench.sampler import Sampler
from bench.traffic import CpuMeter, TrafficError, start_ping
from bench.workloads import Outcome, Workload

SETUP_SECONDS: Final = 60.0  # a row may take so much longer than its transfer
PING_SECONDS: Final = 0.1
LARGEST_PACKET_BYTES: Final = 1500


def measure(
    lab: Lab, profile: Profile, contender: Contender, workload: Workload, row: Row, seed: int
) -> Result:
    """Measure a row; whatever goes wrong is in the result. Bounded in time by an alarm."""
    result = Result(row=row, began=now())
    missing = contender.available(lab) or workload.available()
    if missing is not None:
        return msgspec.structs.replace(result, error=f"not available: {missing}")
    try:
        with _at_most(row.seconds + SETUP_SECONDS), contender.up(lab, profile) as way:
            return _transfer(lab, profile, way, workload, result, seed)
    except (ProcessError, TrafficError, TimeoutError, OSError, LookupError) as error:
        return msgspec.structs.replace(result, error=str(error)[-500:])


def _transfer(
    lab: Lab, profile: Profile, way: Way, workload: Workload, result: Result, seed: int
) -> Result:
    seconds = result.row.seconds
    sampler = Sampler(lab, [line.name for line in profile.lines], way)
    before = _cpu_seconds(way)
    with CpuMeter() as cpu, sampler.sampling(), Weather(lab, profile):
        beside = (
            start_ping(way.client, way.address, seconds, PING_SECONDS, way.device)
            if workload.pinged
            else None
        )
        outcome = workload.run(way, seconds, seed)
        if beside is not None:
            pings = beside.result()
            outcome = msgspec.structs.replace(
                outcome, pings_sent=pings.sent, round_trips_seconds=pings.round_trips_seconds
            )
    lines = sampler.samples()
    return msgspec.structs.replace(
        result,
        outcome=outcome,
        lines=lines,
        held_frames=tuple(sampler.held_frames),
        cpu_seconds=_cpu_seconds(way) - before if way.processes else None,
        memory_bytes=sampler.memory_bytes,
        idle_share=cpu.idle_share,
        void=_void(profile, lines, outcome),
    )


def _cpu_seconds(way: Way) -> float:
    return sum(process.cpu_seconds() for process in way.processes)


def _void(profile: Profile, lines: tuple[Samples, ...], outcome: Outcome) -> str | None:
    """Say what makes the figures worthless: packets too large to have been cut before netem."""
    del outcome
    if profile.unshaped:
        return None
    for line in lines:
        for way, sizes, packets in (
            ("down", line.down_bytes, line.down_packets),
            ("up", line.up_bytes, line.up_packets),
        ):
            if packets and sum(sizes) / packets > LARGEST_PACKET_BYTES:
                mean = sum(sizes) / packets
                return f"packets of {mean:.0f} bytes {way} on {line.line}: offloads are on"
    return None


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block when it lasts longer."""

    def late(*_signal: object) -> NoReturn:
        raise TimeoutError(f"took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
