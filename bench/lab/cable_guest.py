"""The guest's side of cable.py: join devices two by two, and shape them as told on console 3."""

import os
import sys
import tty
from typing import Final

import msgspec
from pyroute2 import IPRoute

from bench.lab import netem
from bench.lab.cable import READY, Order

INGRESS: Final = 0xFFFF0000
EVERYTHING: Final = 0x0003  # ETH_P_ALL


def main(devices: int) -> None:
    """Carry packets until the guest is stopped."""
    orders = os.open("/dev/tty3", os.O_RDONLY | os.O_NOCTTY)
    tty.setraw(orders)
    with IPRoute() as iproute:
        indices = [iproute.link_lookup(ifname=f"vec{number}")[0] for number in range(devices)]
        for number, index in enumerate(indices):
            _join(iproute, index, indices[number ^ 1])
        for index in indices:
            iproute.link("set", index=index, state="up", promiscuity=1)
        _say()
        for line in os.fdopen(orders):
            order = msgspec.json.decode(line, type=Order)
            netem.shape(iproute, indices[order.device], order.direction)
            _say()


def _join(iproute: IPRoute, index: int, other: int) -> None:
    """Send whatever comes in at one device out of another."""
    iproute.tc("add", "ingress", index, INGRESS)
    redirect = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": other}
    iproute.tc(
        "add-filter", "matchall", index, parent=INGRESS, protocol=EVERYTHING, prio=1,
        action=redirect,
    )  # fmt: skip


def _say() -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
