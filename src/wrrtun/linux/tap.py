"""The TAP device: frames and super-frames out of the kernel and into it.

A read gives, and a write takes, a 10-byte virtio-net header (little-endian on every machine) and
then one Ethernet frame. With offloads that frame may be a super-frame of up to 64 KB, and its
transport checksum may be partial; without any, every frame is complete and plain. The header
is there in both cases.

The address, MTU and state of the device are set by name through netlink.py.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Sequence
from enum import IntFlag
from io import FileIO
from itertools import takewhile
from typing import Final

from pytun import IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, TunTapDevice

from wrrtun.core.errors import ConfigError, WrrtunError

from .closing import Closing

Readable = bytes | bytearray | memoryview
Writable = bytearray | memoryview

TUN_PATH: Final = "/dev/net/tun"
VIRTIO_HEADER_BYTES: Final = 10
MAX_NAME_BYTES: Final = 15  # IFNAMSIZ with its closing zero

# linux/if_tun.h: python-pytun does not know these.
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
TUNSETVNETLE: Final = 0x400454DC


class Offload(IntFlag):
    """What the kernel may leave to us, and we to it (TUN_F_*)."""

    CHECKSUM = 0x01
    TSO4 = 0x02
    TSO6 = 0x04
    TSO_ECN = 0x08
    USO4 = 0x20
    USO6 = 0x40


TCP: Final = Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.TSO_ECN
# Richest first. UDP super-frames came with Linux 6.2, and the kernel takes both families or none.
OFFLOADS: Final = (TCP | Offload.USO4 | Offload.USO6, TCP, TCP & ~Offload.TSO_ECN, Offload.CHECKSUM)


class TapDownError(WrrtunError):
    """The device is set down: what is written is lost until someone sets it up again."""


class TapGoneError(WrrtunError):
    """The device was deleted. Its descriptor stays ready for ever: close it, or spin."""


class Tap(Closing):
    """One TAP device, non-blocking. It exists as long as this object is open.

    `name` is the device's name, `offloads` what the kernel granted.
    """

    def __init__(self, name: str) -> None:
        """Make the device, or take over an idle persistent one of that name."""
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise ConfigError(
                f"a device name has 1 to {MAX_NAME_BYTES} bytes, {name!r} has {len(name.encode())}"
            )
        try:
            self._device = TunTapDevice(name=name, flags=IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        except OSError as error:
            raise ConfigError(_why_not(name, error)) from error
        self._fd: int = self._device.fileno()
        self.name: str = self._device.name
        os.set_blocking(self._fd, False)
        os.set_inheritable(self._fd, False)
        fcntl.ioctl(self._fd, TUNSETVNETHDRSZ, struct.pack("=i", VIRTIO_HEADER_BYTES))
        # Else the header is in the machine's own order, and vnet.py would have to know it.
        fcntl.ioctl(self._fd, TUNSETVNETLE, struct.pack("=i", 1))
        self.offloads = self._probe_offloads()
        # Of all ways to read it is the quickest, and it knows a way to say "nothing is there".
        self._file = FileIO(self._fd, closefd=False)
        self.read_into = self._file.readinto

    def _probe_offloads(self) -> Offload:
        for offloads in OFFLOADS:
            try:
                fcntl.ioctl(self._fd, TUNSETOFFLOAD, int(offloads))
            except OSError:
                continue
            return offloads
        return Offload(0)

    def fileno(self) -> int:
        """Return the descriptor, for the loop to watch."""
        return self._fd

    def read_each(self, rooms: Iterable[Writable]) -> list[int]:
        """Read one header and frame into each room until nothing is there; return their sizes.

        What does not fit is cut off without a word: 64 KB + 32 bytes hold everything. No line of
        Python runs between two reads.
        """
        try:
            return [*takewhile(bool, map(self.read_into, rooms))]
        except OSError as error:  # EBADFD, or EFAULT while it goes
            raise TapGoneError(f"the device {self.name} was deleted") from error

    def write(self, frame: Readable) -> bool:
        """Hand the kernel one header and frame; False when it refuses them.

        It does so when it has no memory, or when header and frame contradict each other.
        """
        try:
            os.write(self._fd, frame)
        except OSError as error:
            return self._refused(error)
        return True

    def write_parts(self, parts: Sequence[Readable]) -> bool:
        """Do as `write` does, for a frame that lies in parts (at most 1024)."""
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            return self._refused(error)
        return True

    def _refused(self, error: OSError) -> bool:
        if error.errno == errno.EBADFD:
            raise TapGoneError(f"the device {self.name} was deleted") from error
        if error.errno == errno.EIO:
            raise TapDownError(f"the device {self.name} is set down") from error
        return False

    def close(self) -> None:
        """Remove the device, unless it was persistent before; twice is harmless."""
        self._file.close()
        self._device.close()
        self._fd = -1


def _why_not(name: str, error: OSError) -> str:
    """Say in one sentence what keeps the TAP device from being made."""
    reasons = {
        errno.EPERM: f"making the device {name} needs root or CAP_NET_ADMIN",
        errno.EACCES: f"{TUN_PATH} may not be opened: that needs root or CAP_NET_ADMIN",
        errno.EBUSY: f"the device {name} is in use, perhaps by another wrrtun",
        errno.EINVAL: f"the name {name!r} is not possible, or belongs to a device that is no TAP",
        errno.ENOENT: f"{TUN_PATH} is missing: load the kernel module tun",
        errno.ENODEV: f"{TUN_PATH} has no driver: load the kernel module tun",
    }
    return reasons.get(error.errno or 0, f"cannot make the device {name}: {error}")
