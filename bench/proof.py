"""Do the lines carry what netem was told? Measured at the IP layer, below anything TCP does.

Datagrams are sent into a line a fifth faster than it should carry them, and the receiving device's
counters are read twice, a second apart: bytes of IP packets per second, within TOLERANCE of the
rate, or of what is left to send where more than that fifth is lost: netem loses a packet before its
queue. A ping tells the delay. What a profile's lines carry too much or too little of voids its
rows.
"""

import contextlib
import socket
import statistics
import time
from typing import Final

from bench.lab.namespace import Namespace
from bench.lab.topology import LETTERS, SERVER_ADDRESS, Lab, LabLine
from bench.profiles import Direction, Line, Profile
from bench.results import Proof, now
from bench.traffic import ping

TOLERANCE: Final = 0.03
DELAY_TOLERANCE_SECONDS: Final = 0.005
PORT: Final = 9  # discard
DATAGRAM: Final = bytes(1472)  # packets of 1500 bytes
OVERLOAD: Final = 1.2
TICK_SECONDS: Final = 0.004
MEASURED_SECONDS: Final = 1.5
ETHERNET_BYTES: Final = 14


def prove(lab: Lab, profile: Profile) -> Proof:
    """Measure every line of a profile, both directions, one after the other."""
    measured: dict[str, float] = {}
    told: dict[str, float] = {}
    round_trips: dict[str, float] = {}
    wrong: list[str] = []
    largest = 0.0
    for line, each in zip(lab.lines, profile.lines, strict=True):
        for way, direction in (("down", each.down), ("up", each.up)):
            name = f"{each.name} {way}"
            carried, packet_bytes = _flood(lab, line, direction, down=way == "down")
            left = min(OVERLOAD * (1 - direction.loss), 1.0)
            told[name] = direction.rate_bits_per_second * left
            measured[name] = carried
            largest = max(largest, packet_bytes)
            # What is lost is lost by chance.
            chance = 3 * (direction.loss * direction.rate_bits_per_second / 12000) ** 0.5
            allowed = TOLERANCE * told[name] + chance / MEASURED_SECONDS**0.5 * 12000
            if abs(carried - told[name]) > allowed:
                wrong.append(f"{name} carries {carried / 1e6:.2f} of {told[name] / 1e6:.2f} Mbit/s")
        round_trips[each.name] = _round_trip(lab, line)
        if not _plausible(round_trips[each.name], each):
            wrong.append(f"{each.name} is {round_trips[each.name] * 1e3:.1f} ms away")
    if largest > 1500:
        wrong.append(f"packets of {largest:.0f} bytes: offloads are on")
    return Proof(
        profile=profile.name,
        began=now(),
        measured=measured,
        told=told,
        round_trips_seconds=round_trips,
        largest_packet_bytes=largest,
        void="; ".join(wrong) or None,
    )


def _flood(lab: Lab, line: LabLine, direction: Direction, *, down: bool) -> tuple[float, float]:
    """Send too much into one direction; give the IP bits/s that came out, and bytes a packet."""
    isp = f"isp{LETTERS[line.number - 1]}"
    if down:
        sender, receiver = (lab.server, isp, SERVER_ADDRESS), (lab.client, line.device)
        to = line.address
    else:
        sender, receiver = (lab.client, line.device, line.address), (lab.server, isp)
        to = SERVER_ADDRESS
    namespace, device, source = sender
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(_socket(namespace, source, 0, device))
        stack.enter_context(_socket(receiver[0], to, PORT))  # nobody says "port unreachable"
        rate = direction.rate_bits_per_second * OVERLOAD
        filling = direction.delay_seconds + 2 * direction.jitter_seconds + 0.4
        # The last packets of a flood still fill the line: leave what is queued time to go.
        out.connect((to, PORT))
        _send(out, rate, filling)
        began, before = time.monotonic(), receiver[0].counters(receiver[1])
        _send(out, rate, MEASURED_SECONDS)
        ended, after = time.monotonic(), receiver[0].counters(receiver[1])
    time.sleep(direction.buffer_seconds + direction.delay_seconds + direction.jitter_seconds)
    packets = after["rx_packets"] - before["rx_packets"]
    size = after["rx_bytes"] - before["rx_bytes"] - ETHERNET_BYTES * packets
    return size * 8 / (ended - began), size / max(packets, 1)


def _socket(
    namespace: Namespace, address: str, port: int, device: str | None = None
) -> socket.socket:
    with namespace.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if device is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        made.setblocking(False)
    made.bind((address, port))
    return made


def _send(out: socket.socket, bits_per_second: float, seconds: float) -> None:
    """Send datagrams evenly, tick by tick."""
    began = time.monotonic()
    sent = 0
    packet_bits = (len(DATAGRAM) + 28) * 8
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * bits_per_second / packet_bits)
        for _datagram in range(due - sent):
            with contextlib.suppress(BlockingIOError):
                out.send(DATAGRAM)
        sent = due
        time.sleep(TICK_SECONDS)


def _round_trip(lab: Lab, line: LabLine) -> float:
    seen = ping(lab.client, SERVER_ADDRESS, 0.5, device=line.device).round_trips_seconds
    return statistics.median(seen) if seen else float("inf")


def _plausible(round_trip_seconds: float, line: Line) -> bool:
    moving = 2 * sum(each.jitter_seconds + each.reorder_seconds for each in (line.down, line.up))
    return abs(round_trip_seconds - line.round_trip_seconds) <= DELAY_TOLERANCE_SECONDS + moving
