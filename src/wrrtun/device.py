"""A TAP device of the tunnel, set up, and the memory that frames are read into."""

import contextlib
import logging
from mmap import mmap
from typing import Final

from .config import IPInterface
from .core.errors import ConfigError
from .core.headers import Buffer
from .core.wire import MAX_BATCH_DATAGRAMS
from .linux.firewall import NFPROTO_BRIDGE, replace_table
from .linux.firewall_rules import Chain, InDevice, LimitSegments, OutDevice
from .linux.netlink import Netlink
from .linux.tap import Tap, TapDownError

log = logging.getLogger("wrrtun")

BUFFER_BYTES: Final = 65_536 + 64
# A super-frame's datagrams, with headers and tags, fit one batch.
MAX_SUPER_FRAME_BYTES: Final = 61_000
QUEUE_FRAMES: Final = 1_000
# What one wake-up reads at most, so that no side starves: so many super-frames, or small frames.
MAX_SUPER_FRAMES: Final = 16
MAX_FRAMES: Final = 64
# A frame begins at a line of the cache.
ALIGNMENT_BYTES: Final = 64
TCP_IP_BYTES: Final = {4: 40, 6: 60}


class ReadRoom:
    """What frames are read into, until the wake-up that reads them ends: one for all devices.

    Small frames lie close together, so that they stay in the fastest cache. A megabyte, of which
    the kernel gives what is used.
    """

    def __init__(self) -> None:
        self._memory = memoryview(mmap(-1, MAX_SUPER_FRAMES * BUFFER_BYTES))
        self._used_bytes = 0

    def free(self) -> memoryview | None:
        """Return room for one read; None: there is none left."""
        room = self._memory[self._used_bytes : self._used_bytes + BUFFER_BYTES]
        return room if len(room) == BUFFER_BYTES else None

    def use(self, size_bytes: int) -> None:
        """Keep the beginning of what `free` returned."""
        lines = (size_bytes + ALIGNMENT_BYTES - 1) // ALIGNMENT_BYTES
        self._used_bytes += lines * ALIGNMENT_BYTES

    def settle(self) -> None:
        """Use all of it again."""
        self._used_bytes = 0


class Device:
    """A TAP device on the loop."""

    def __init__(
        self,
        name: str,
        addresses: tuple[IPInterface, ...],
        mtu: int,
        bridge: str | None,
        mac: str,
        room: ReadRoom,
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
        self._room = room

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

    def read(self) -> memoryview | None:
        """Read one frame, its own until `settle`; None: nothing is there, or no room."""
        buffer = self._room.free()
        size = self.tap.read_into(buffer) if buffer is not None else None
        if buffer is None or size is None:
            return None
        self._room.use(size)
        self.sent_bytes += size
        return buffer[:size]

    def settle(self) -> None:
        """Use the buffers again: what was read has been polled for."""
        self._room.settle()

    def write(self, vectors: list[list[Buffer]]) -> None:
        """Hand frames to the kernel; count what it does not take."""
        write = self.tap.write_parts
        for vector in vectors:
            try:
                taken = write(vector)
            except TapDownError:
                taken = False
            if not taken:
                self.lost_frames += 1
