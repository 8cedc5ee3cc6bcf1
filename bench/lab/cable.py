"""Netem where this kernel has none: packets of this host's devices go through a guest and back.

    router ==veth== plug0 | packet socket | vec0 <-> vec1 | packet socket | plug1 ==veth== router

The guest (user-mode Linux, uml.py) has nothing to do but netem: what comes in at one of its devices
leaves by the other, and each device sends as one direction of a line does. So the two ends of a
tunnel run at the speed of this host, which is what lines beyond some 20 Mbit/s, or eight of them,
ask for. It takes root.
"""

import contextlib
import os
import socket
import subprocess
import sys
from typing import Final, Literal

import msgspec

from bench.lab.ending import Held, end
from bench.lab.namespace import Namespace
from bench.lab.uml import UmlError, obstacle, run
from bench.profiles import Direction

LAB_SECONDS: Final = 4 * 3600.0
END_SECONDS: Final = 5.0
BUFFER_BYTES: Final = 4 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # the socket module does not know them
ETH_P_ALL: Final = 3
READY: Final = b"ready\n"

Side = Literal["near", "far"]  # of a cable: the client's, the server's


def available() -> bool:
    """Tell whether we may have packet sockets here, and a guest would run."""
    return os.geteuid() == 0 and obstacle() is None


class Order(msgspec.Struct, frozen=True):
    """What a device of the guest shall send like; devices are counted from 0."""

    device: int
    direction: Direction


class Cables(Held):
    """Cables with two ends each, in a namespace that does nothing but hold them."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self.namespace = self._held.enter_context(Namespace.create("cables"))
        self.namespace.sysctl(
            {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1}
        )
        self._sockets: list[socket.socket] = []
        self._guest: subprocess.Popen[bytes] | None = None

    @property
    def free_plug(self) -> str:
        """Name for a device that `plug` makes the next end of a cable: near, far, near, far, ..."""
        return f"plug{len(self._sockets)}"

    def plug(self, device: str) -> None:
        """Make the next end of a cable out of a device in this namespace."""
        self.namespace.iproute.link("set", index=self.namespace.index(device), state="up")
        with self.namespace.entered():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._sockets.append(self._held.enter_context(made))
        made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        made.bind((device, ETH_P_ALL))

    def start(self) -> None:
        """Start the guest, once all ends are plugged; they carry nothing before."""
        wires = [each.fileno() for each in self._sockets]
        self._guest = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM"),
                *(sys.executable, "-m", "bench.lab.cable", *map(str, wires)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=wires,
        )
        self._held.enter_context(self._guest)  # closes its pipes, once it has ended
        self._held.callback(end, self._guest, END_SECONDS)
        self._expect(READY)

    def shape(self, number: int, side: Side, direction: Direction) -> None:
        """Make a cable send towards one of its sides as `direction` says; counted from 0."""
        order = Order(2 * number + (side == "far"), direction)
        assert self._guest is not None
        assert self._guest.stdin is not None
        self._guest.stdin.write(msgspec.json.encode(order) + b"\n")
        self._guest.stdin.flush()
        self._expect(READY)

    def close(self) -> None:
        """Stop the guest and remove the cables."""
        self._held.close()

    def _expect(self, said: bytes) -> None:
        assert self._guest is not None
        assert self._guest.stdout is not None
        heard = self._guest.stdout.readline()
        if heard != said:
            raise UmlError(f"the guest that has netem said {heard!r} instead of {said!r}")


def main(wires: list[int]) -> int:
    """Run the guest on packet sockets that were handed down."""
    words = [sys.executable, "-m", "bench.lab.cable_guest", str(len(wires))]
    return run(words, LAB_SECONDS, wires=wires)


if __name__ == "__main__":
    sys.exit(main([int(each) for each in sys.argv[1:]]))
