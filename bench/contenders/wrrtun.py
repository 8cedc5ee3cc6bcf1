"""wrrtun, told more or less about the lines."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.contenders import Way
from bench.lab.topology import Lab
from bench.profiles import Line, Profile
from bench.traffic import ping
from bench.tunnel import SERVER_INSIDE, Daemon, tunnel
from wrrtun.cli import main

Told = Literal["rates", "weights", "nothing"]


@dataclass(frozen=True)
class Wrrtun:
    """Two daemons over all lines; `options` are the client's."""

    name: str
    about: str
    told: Told
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def available(self, lab: Lab) -> str | None:
        del lab
        parameters = main.commands["client"].params
        known = {option for parameter in parameters for option in parameter.opts}
        unknown = [option for option in self.options if option not in known]
        return f"this wrrtun knows no {' '.join(unknown)}" if unknown else None

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        links = [
            line.device + link_option(each, self.told)
            for line, each in zip(lab.lines, profile.lines, strict=True)
        ]
        with tunnel(lab, links, self.options, environment=dict(self.environment)) as ends:
            # The first one also asks for the other end's MAC address, as on any new Ethernet.
            ping(lab.client, SERVER_INSIDE, 0.3)
            yield Way(
                lab.client,
                lab.server,
                SERVER_INSIDE,
                processes=(ends.client, ends.server),
                held_frames=lambda: _held_frames(ends.client),
            )


def _held_frames(daemon: Daemon) -> int:
    return sum(peer.reorder.held_frames for peer in daemon.status().peers)


def link_option(line: Line, told: Told) -> str:
    """What --link says of a line, after its device."""
    if told == "nothing":
        return ""
    unit = "mbit" if told == "rates" else ""
    down, up = (f"{each.rate_bits_per_second / 1e6:g}{unit}" for each in (line.down, line.up))
    return f":{down}" if down == up else f":{down}/{up}"


ALL = (
    Wrrtun("wrrtun-rates", "wrrtun, told each line's rates", "rates"),
    Wrrtun("wrrtun-weights", "wrrtun, told the rates as weights only", "weights"),
    Wrrtun("wrrtun-found", "wrrtun, told nothing", "nothing"),
    Wrrtun("wrrtun-redundant", "wrrtun, every frame over two lines", "rates", ("--redundant",)),
    Wrrtun(
        "wrrtun-unordered",
        "wrrtun, told each line's rates, without its reorder buffer",
        "rates",
        environment=(("WRRTUN_WITHOUT_ORDER", "1"),),
    ),
)
