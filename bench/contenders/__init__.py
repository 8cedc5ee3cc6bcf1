"""Who may carry the traffic: every contender behind one interface.

A contender is asked whether it can run here, brought up in a lab, given traffic, and taken down.
What it yields is a `Way`: where traffic goes. All lines of a profile are there; a contender uses
those it can.

names                    what they are
bare-1 .. bare-8         one line as it is, without any tunnel; the sum of these is the yardstick
openvpn, wireguard-go    one tunnel over the first line
bond-udp, -tcp           the kernel's bond over an OpenVPN TAP on each line: what the story tried
bond-delayed             the same over UDP, netem making the lines equally slow
mlvpn, glorytun          used where such a program is on PATH
mptcp                    no tunnel, but the kernel's Multipath TCP
wrrtun-rates             wrrtun, told each line's rates
wrrtun-weights           wrrtun, told the rates as weights only
wrrtun-found             wrrtun, told nothing
wrrtun-redundant         wrrtun, every bulk frame over two lines
wrrtun-unordered         wrrtun without its reorder buffer, for the suite `reorder`
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from bench.lab.namespace import Namespace
from bench.lab.topology import Lab
from bench.processes import Process
from bench.profiles import Profile


@dataclass(frozen=True)
class Way:
    """Where a contender's traffic goes.

    Traffic runs between `client` and `server`, to `address`, which the server's namespace has.
    `device` is what the client's sockets have to be bound to, None where the route alone does it.
    `wrap` stands before the words of every program of TCP, at both ends.
    `processes` is what the contender runs, client first: their CPU time and memory are its cost.
    `held_frames` tells how many frames wait at the client now for what must come before them.
    """

    client: Namespace
    server: Namespace
    address: str
    device: str | None = None
    processes: tuple[Process, ...] = ()
    held_frames: Callable[[], int] | None = None
    wrap: tuple[str, ...] = ()


class Contender(Protocol):
    """One way to carry traffic over a profile's lines."""

    @property
    def name(self) -> str:
        """What tables and options call it: letters, digits and dashes."""

    @property
    def about(self) -> str:
        """What it is, in a few words."""

    def available(self, lab: Lab) -> str | None:
        """Say why it cannot run here, in a short clause; None when it can."""

    def up(self, lab: Lab, profile: Profile) -> contextlib.AbstractContextManager[Way]:
        """Bring it up, ready for traffic; the `with` block's end takes it down without a trace.

        Raises ProcessError, or any OSError, when that fails: a row that says so.
        """


def registry(contenders: Iterable[Contender]) -> dict[str, Contender]:
    """Put contenders in order, by name."""
    return {contender.name: contender for contender in contenders}
