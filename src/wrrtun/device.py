"""A TAP device of the tunnel, set up: frames in and out."""

import contextlib
import logging
from typing import Final

from .config import IPInterface
from .core.cutter import cut_datagrams
from .core.errors import ConfigError
from .core.headers import Buffer
from .core.reads import Reads
from .core.wire import MAX_BATCH_DATAGRAMS
from .linux.firewall import NFPROTO_BRIDGE, replace_table
from .linux.firewall_rules import Chain, InDevice, LimitSegments, OutDevice
from .linux.netlink import Netlink
from .linux.tap import Offload, Tap, TapDownError

log = logging.getLogger("wrrtun")

# A super-frame's datagrams, with headers and tags, fit one batch.
MAX_SUPER_FRAME_BYTES: Final = 61_000
QUEUE_FRAMES: Final = 1_000
TCP_IP_BYTES: Final = {4: 40, 6: 60}


class Device:
    """A TAP device on the loop."""

    def __init__(
        self,
        name: str,
        addresses: tuple[IPInterface, ...],
        mtu: int,
        bridge: str | None,
        mac: str,
        reads: Reads,
    ) -> None:
        self.tap = Tap(name)
        self.mtu = mtu
        self._is_port = bridge is not None
        with Netlink() as netlink:
            netlink.set_mac(name, mac)
            netlink.set_mtu(name, mtu)
            netlink.set_super_frames(name, MAX_SUPER_FRAME_BYTES, MAX_BATCH_DATAGRAMS)
            netlink.set_queue(name, QUEUE_FRAMES)
            if bridge is not None:
                netlink.set_bridge(name, bridge)
            netlink.set_up(name)
            for address in addresses:
                netlink.add_address(name, address)
        self._fit_segments()
        self.lost_frames = 0
        self.sent_bytes = 0
        self._reads = reads

    def set_mtu(self, mtu: int) -> None:
        """Change the device's MTU, if it is another one."""
        if mtu != self.mtu:
            self.mtu = mtu
            with Netlink() as netlink:
                netlink.set_mtu(self.tap.name, mtu)
            self._fit_segments()

    def close(self) -> None:
        """Remove the device, and what a bridge was told about it."""
        if self._is_port:
            with contextlib.suppress(ConfigError):
                replace_table(f"wrrtun-{self.tap.name}", (), NFPROTO_BRIDGE)
        self.tap.close()

    def _fit_segments(self) -> None:
        """Have TCP through a bridge's port fit it: a bridge drops what is too long without a word.

        Where routes lead through the device, the router's rules do that.
        """
        if not self._is_port:
            return
        name = self.tap.name
        rules = tuple(
            (part(name), LimitSegments(version, self.mtu - header_bytes))
            for part in (OutDevice, InDevice)
            for version, header_bytes in TCP_IP_BYTES.items()
        )
        chain = Chain("forward", "filter", "forward", 0, rules)
        try:
            replace_table(f"wrrtun-{name}", (chain,), NFPROTO_BRIDGE)
        except ConfigError as error:
            log.warning("hosts on the bridge need an MTU of %d: %s", self.mtu, error)

    def read(self, most: int, now: float) -> Reads:
        """Read up to so many frames; they stay until `settle`."""
        reads = self._reads
        reads.begin(now)
        while rooms := reads.rooms(most):
            sizes = self.tap.read_each(rooms)
            reads.sizes += sizes
            if len(sizes) < len(rooms):
                break
        self.sent_bytes += sum(reads.sizes)
        return reads

    def settle(self) -> None:
        """Use the memory again: what was read has been polled for."""
        self._reads.clear()

    def write(self, vectors: list[list[Buffer]]) -> None:
        """Hand frames to the kernel; count what it does not take."""
        if Offload.USO4 not in self.tap.offloads:  # nor would it take what it does not give
            vectors = [single for vector in vectors for single in cut_datagrams(vector)]
        write = self.tap.write_parts
        for vector in vectors:
            try:
                taken = write(vector)
            except TapDownError:
                taken = False
            if not taken:
                self.lost_frames += 1
