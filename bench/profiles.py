"""Lines as an ISP would sell them, sets of lines, and what happens to them: read from a TOML file.

profiles.toml says what each key means. All rates count IP packets: netem is told to leave out the
14 bytes of Ethernet header.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench import traces

FOLDER: Final = Path(__file__).parent
PAYLOAD_SHARE: Final = 1448 / 1500  # of a full packet of a bare TCP stream with timestamps

State = Literal["cut", "unplugged", "moved", "whole"]


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a line.

    `delay_seconds` is one way; `loss` is the probability that a packet is lost, at random;
    `buffer_seconds` is how much the modem queues, in time at the line's rate, before it drops.
    Jitter keeps the order of packets; with `reorder_seconds` a packet comes up to that much sooner
    or later than the one before.
    """

    rate_bits_per_second: float
    delay_seconds: float
    buffer_seconds: float
    jitter_seconds: float = 0.0
    loss: float = 0.0
    reorder_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """An internet line: down is towards the client."""

    name: str
    down: Direction
    up: Direction

    @property
    def round_trip_seconds(self) -> float:
        """Round trip of an idle line, without jitter and the packets' own time on the wire."""
        return self.down.delay_seconds + self.up.delay_seconds


@dataclass(frozen=True, slots=True)
class Event:
    """What a line becomes `at_seconds` into a transfer: a state, or other directions.

    `traced` events come one after the other from a trace: a plot does not mark them.
    """

    at_seconds: float
    line: str
    state: State | None = None
    down: Direction | None = None
    up: Direction | None = None
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of lines, and what happens to them in the course of a transfer.

    It iterates over its lines. `seconds` is how long a transfer must last to see every event;
    a `fast` one has its ends on the host, as user-mode Linux is too slow for them; an `unshaped`
    one has plain wires for lines, as fast as the CPU, and its rates are no more than weights.
    """

    name: str
    about: str
    lines: tuple[Line, ...]
    events: tuple[Event, ...] = ()
    seconds: float | None = None
    fast: bool = False
    unshaped: bool = False

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def offered_bits_per_second(self, seconds: float, *, down: bool) -> float:
        """What a TCP without any tunnel could get over all lines in a transfer of so long."""
        return sum(self._offered(line, seconds, down) for line in self.lines)

    def _offered(self, line: Line, seconds: float, down: bool) -> float:
        before = whole = line.down if down else line.up
        since = bits = 0.0
        for event in (each for each in self.events if each.line == line.name):
            at = min(event.at_seconds, seconds)
            bits += before.rate_bits_per_second * (1 - before.loss) * (at - since)
            since = at
            if event.state is None:
                before = (event.down if down else event.up) or before
            elif event.state in {"cut", "unplugged"}:
                before = dataclasses.replace(before, loss=1.0)
            else:
                before = whole
        bits += before.rate_bits_per_second * (1 - before.loss) * (seconds - since)
        return bits / seconds * PAYLOAD_SHARE

    def line(self, name: str) -> Line:
        """Look a line up by its name; LookupError when there is none."""
        for line in self.lines:
            if line.name == name:
                return line
        raise LookupError(f"profile {self.name} has no line {name}")


class _Settings(msgspec.Struct, forbid_unknown_fields=True):
    """One direction as the file has it: a key that is missing is taken from elsewhere."""

    rate_mbit: float | None = None
    delay_ms: float | None = None
    buffer_ms: float | None = None
    jitter_ms: float | None = None
    reorder_ms: float | None = None
    loss_percent: float | None = None

    def over(self, before: Direction) -> Direction:
        """Change what is named, leave the rest."""
        named = {
            "rate_bits_per_second": (self.rate_mbit, 1e6),
            "delay_seconds": (self.delay_ms, 1e-3),
            "buffer_seconds": (self.buffer_ms, 1e-3),
            "jitter_seconds": (self.jitter_ms, 1e-3),
            "reorder_seconds": (self.reorder_ms, 1e-3),
            "loss": (self.loss_percent, 1e-2),
        }
        changes = {key: value * unit for key, (value, unit) in named.items() if value is not None}
        return dataclasses.replace(before, **changes)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    down: _Settings
    up: _Settings = msgspec.field(default_factory=_Settings)
    trace: str | None = None


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    at: float
    line: str
    every: float | None = None
    state: State | None = None
    down: _Settings | None = None
    up: _Settings | None = None


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    about: str
    lines: list[str]
    event: list[_Event] = []
    seconds: float | None = None
    fast: bool = False
    unshaped: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    line: dict[str, _Line]
    profile: dict[str, _Profile]


def parse(document: bytes) -> dict[str, Profile]:
    """Read profiles from TOML; msgspec.ValidationError or LookupError says what is wrong."""
    file = msgspec.toml.decode(document, type=_File)
    return {name: _profile(name, each, file.line) for name, each in file.profile.items()}


def _line(told: _Line) -> Line:
    for key in ("rate_mbit", "delay_ms", "buffer_ms"):
        if getattr(told.down, key) is None:
            raise msgspec.ValidationError(f"line {told.name}: down needs {key}")
    down = told.down.over(Direction(0.0, 0.0, 0.0))
    return Line(told.name, down, told.up.over(down))


def _traced(line: Line, trace: str) -> Iterator[Event]:
    """Replay a trace: each of its rows is an event."""
    for row in traces.read(trace):
        down = dataclasses.replace(
            line.down,
            rate_bits_per_second=row.rate_bits_per_second,
            delay_seconds=row.delay_seconds,
        )
        yield Event(row.at_seconds, line.name, down=down, traced=True)


def _profile(name: str, told: _Profile, lines: dict[str, _Line]) -> Profile:
    profile = Profile(
        name,
        told.about,
        tuple(_line(lines[each]) for each in told.lines),
        seconds=told.seconds,
        fast=told.fast,
        unshaped=told.unshaped,
    )
    events: list[Event] = []
    for each in told.lines:
        trace = lines[each].trace
        if trace is not None:
            events += _traced(_line(lines[each]), trace)
    for happening in told.event:
        line = profile.line(happening.line)
        event = Event(
            happening.at,
            happening.line,
            happening.state,
            happening.down.over(line.down) if happening.down else None,
            happening.up.over(line.up) if happening.up else None,
        )
        events.append(event)
        if happening.every is not None:
            if told.seconds is None:
                raise msgspec.ValidationError(f"profile {name}: `every` needs `seconds`")
            count = int((told.seconds - happening.at) / happening.every)
            events += [
                dataclasses.replace(event, at_seconds=happening.at + number * happening.every)
                for number in range(1, count + 1)
            ]
    ordered = sorted(events, key=lambda event: event.at_seconds)
    return dataclasses.replace(profile, events=tuple(ordered))


PROFILES: Final = parse((FOLDER / "profiles.toml").read_bytes())
ADSL, MOBILE = PROFILES["adsl-mobile"].lines
