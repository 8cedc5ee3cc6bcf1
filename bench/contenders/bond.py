"""What the story tried: the kernel's bond, packet by packet, over an OpenVPN TAP on each line.

With `delayed`, netem at both ends makes the faster TAPs as slow as the slowest, in both directions:
the story's `tc netem delay` at its best (it had one direction only).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pyroute2 import NetlinkError

from bench.contenders import Way
from bench.lab.namespace import Namespace
from bench.lab.topology import Lab
from bench.openvpn import Transport, openvpn
from bench.processes import missing
from bench.profiles import Profile
from bench.traffic import ping

DEVICE: Final = "bond7"  # bond0 comes with the module
CLIENT_INSIDE: Final = "10.7.0.2"
SERVER_INSIDE: Final = "10.7.0.1"
BALANCE_ROUND_ROBIN: Final = 0
CARRIER_CHECK_MILLISECONDS: Final = 100
DELAYED_PACKETS: Final = 1000  # netem's own default
MICROSECONDS: Final = 1e6


@dataclass(frozen=True)
class Bond:
    """Mode balance-rr over one TAP for each line."""

    name: str
    about: str
    transport: Transport
    delayed: bool = False

    def available(self, lab: Lab) -> str | None:
        try:
            lab.server.iproute.link("add", ifname="probe", kind="bond", bond_mode=0)
        except NetlinkError:
            return "no bonding in this kernel"
        lab.server.iproute.link("del", index=lab.server.index("probe"))
        return missing("openvpn")

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        with contextlib.ExitStack() as stack:
            vpns = [
                stack.enter_context(openvpn(lab, line, self.transport, addressed=False))
                for line in lab.lines
            ]
            devices = [vpn.device for vpn in vpns]
            for namespace, inside in ((lab.client, CLIENT_INSIDE), (lab.server, SERVER_INSIDE)):
                stack.enter_context(_bonded(namespace, devices, inside))
            if self.delayed:
                self._delay(lab, profile, devices)
            # The first one also asks for the other end's MAC address, as on any new Ethernet.
            ping(lab.client, SERVER_INSIDE, 0.3)
            processes = tuple(end for vpn in vpns for end in (vpn.client, vpn.server))
            yield Way(lab.client, lab.server, SERVER_INSIDE, None, processes)

    def _delay(self, lab: Lab, profile: Profile, devices: list[str]) -> None:
        for namespace, delays in (
            (lab.client, [line.up.delay_seconds for line in profile]),
            (lab.server, [line.down.delay_seconds for line in profile]),
        ):
            for device, delay in zip(devices, delays, strict=True):
                missing_seconds = max(delays) - delay
                if missing_seconds > 0:
                    namespace.iproute.tc(
                        "add",
                        "netem",
                        namespace.index(device),
                        0x10000,
                        delay=round(missing_seconds * MICROSECONDS),
                        limit=DELAYED_PACKETS,
                    )


@contextlib.contextmanager
def _bonded(namespace: Namespace, devices: list[str], inside: str) -> Iterator[None]:
    """Put devices under a bond with an address; the bond goes when the block ends."""
    iproute = namespace.iproute
    iproute.link(
        "add",
        ifname=DEVICE,
        kind="bond",
        bond_mode=BALANCE_ROUND_ROBIN,
        bond_miimon=CARRIER_CHECK_MILLISECONDS,
    )
    bond = namespace.index(DEVICE)
    try:
        for device in devices:
            # A device must be down to come under a bond, which takes it up.
            iproute.link("set", index=namespace.index(device), state="down")
            iproute.link("set", index=namespace.index(device), master=bond)
        namespace.take_up(DEVICE, inside)
        yield
    finally:
        iproute.link("del", index=bond)


ALL: Final = (
    Bond("bond-udp", "kernel bond (balance-rr) over an OpenVPN TAP a line, UDP", "udp"),
    Bond("bond-tcp", "the same over TCP", "tcp"),
    Bond("bond-delayed", "the same over UDP, netem makes the lines equally slow", "udp", True),
)
