"""Batches of UDP datagrams: what both kinds of socket in udp.py share.

A batch is datagrams laid end to end, `segment_bytes` each, the last one perhaps shorter.
UDP_SEGMENT cuts it on the way out (Linux 4.18), UDP_GRO joins it on the way in (5.0); where the
kernel or the device refuses, the same calls move one datagram at a time.

What the network does to a send is a value, never an exception. ECONNREFUSED is none of it: the
other end merely started later.

Don't Fragment is set on every datagram, and IP_PMTUDISC_PROBE instead of DO: with DO, one
(possibly forged) ICMP message would keep the kernel from sending full datagrams for ten minutes,
and no probe of ours could find out earlier that the path has recovered. EMSGSIZE so means the
device's own MTU; what ICMP claimed stands in `mtu_bytes`.
"""

import errno
import os
import socket
import struct
from enum import Enum
from typing import Final

from .paths import Path, SocketAddress, socket_address_text

Readable = bytes | bytearray | memoryview
Writable = bytearray | memoryview

# From linux/udp.h, linux/in.h and linux/in6.h; the socket module does not know them.
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_PROBE: Final = 3
IPV6_MTU_DISCOVER: Final = 23
IPV6_DONTFRAG: Final = 62
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
SO_TIMESTAMPNS_NEW: Final = 64  # 64 bits on every machine; Linux 5.1
TIMESPEC: Final = struct.Struct("=qq")

# The usual 208 KB are three batches. What overflows is lost without a word.
BUFFER_BYTES: Final = 8 << 20


class SendResult(Enum):
    """What became of a send. Anything but OK: the batch, or its rest, did not leave."""

    OK = "ok"
    WOULD_BLOCK = "would_block"  # the socket's or the device's queue is full
    TOO_BIG = "too_big"  # for the device's MTU
    UNREACHABLE = "unreachable"  # no route, device down, or our address has gone (IPv4)
    REFUSED_BY_SYSTEM = "refused_by_system"  # a firewall, or a reason in `last_error`
    DEVICE_GONE = "device_gone"  # this socket will never send again: open another


RESULTS: Final = {
    errno.EAGAIN: SendResult.WOULD_BLOCK,
    errno.ENOBUFS: SendResult.WOULD_BLOCK,
    errno.ENOMEM: SendResult.WOULD_BLOCK,
    errno.EMSGSIZE: SendResult.TOO_BIG,
    errno.ENETUNREACH: SendResult.UNREACHABLE,
    errno.EHOSTUNREACH: SendResult.UNREACHABLE,
    errno.EHOSTDOWN: SendResult.UNREACHABLE,
    errno.ENETDOWN: SendResult.UNREACHABLE,
    errno.ENONET: SendResult.UNREACHABLE,
    errno.EADDRNOTAVAIL: SendResult.UNREACHABLE,
    errno.EINVAL: SendResult.UNREACHABLE,  # the source address is no longer on this machine
    errno.ECONNREFUSED: SendResult.OK,
    errno.ENODEV: SendResult.DEVICE_GONE,
    errno.ENXIO: SendResult.DEVICE_GONE,
}

# What the kernel says when it will not cut a batch: no checksum offload on the device (EIO, before
# Linux 6.11), or a segment longer than the MTU (EINVAL; sent singly, it says EMSGSIZE).
UNSEGMENTABLE: Final = {errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT}


class BatchSocket:
    """What both kinds of socket share. `segmented` tells whether batches leave in one call."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._recvmsg_into = self._socket.recvmsg_into
        self.last_error = 0  # errno of the last send that was not OK
        # When the kernel got the last batch received: CLOCK_REALTIME, 0.0 when it does not say.
        # What our own process keeps waiting in the socket is not the line's delay.
        self.received_at = 0.0
        self._try_option(socket.SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1)
        # A send took an error that the loop may have been told of: it stops watching then.
        self.took_error = False
        self.segmented = self._try_option(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
        self._try_option(socket.IPPROTO_UDP, UDP_GRO, 1)
        for forced, usual in (
            (SO_RCVBUFFORCE, socket.SO_RCVBUF),
            (SO_SNDBUFFORCE, socket.SO_SNDBUF),
        ):
            if not self._try_option(socket.SOL_SOCKET, forced, BUFFER_BYTES):
                self._try_option(socket.SOL_SOCKET, usual, BUFFER_BYTES)
        self._try_option(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        if family == socket.AF_INET6:
            self._try_option(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE)
            self._try_option(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)

    def _try_option(self, level: int, name: int, value: int) -> bool:
        """Set an option that we can live without; tell whether it is set."""
        try:
            self._socket.setsockopt(level, name, value)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        """Return the descriptor, for the loop to watch."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; twice is harmless."""
        self._socket.close()

    @property
    def local_text(self) -> str:
        """Our own end, for people."""
        return socket_address_text(self._socket.getsockname())

    @property
    def local_host(self) -> str:
        """The address that it sends from."""
        return str(self._socket.getsockname()[0])

    def why(self, result: SendResult) -> str:
        """Say what kept the last batch from leaving; nothing when only room was missing."""
        return "" if result is SendResult.WOULD_BLOCK else os.strerror(self.last_error)

    def _receive(
        self, buffer: Writable, ancillary_bytes: int
    ) -> tuple[int, list[tuple[int, int, bytes]], int, SocketAddress] | None:
        # An error that an earlier send left behind comes out of a receive too, once. What may lie
        # behind it waits for the next call: the caller must know that there was an error.
        try:
            return self._recvmsg_into((buffer,), ancillary_bytes)
        except OSError:
            return None

    def _note_time(self, data: bytes) -> None:
        seconds, nanoseconds = TIMESPEC.unpack(data)
        self.received_at = seconds + nanoseconds * 1e-9

    def _transmit(self, batch: Readable, segment_bytes: int, path: Path) -> None:
        """Send the batch in one call, or raise what the kernel says; 0 segment_bytes: uncut."""
        raise NotImplementedError

    def _send(self, batch: Readable, segment_bytes: int, path: Path) -> SendResult:
        if len(batch) > segment_bytes and not self.segmented:
            return self._send_singly(batch, segment_bytes, path)
        try:
            self._transmit(batch, segment_bytes, path)
        except OSError as error:
            return self._send_again(batch, segment_bytes, path, error)
        return SendResult.OK

    def _send_again(
        self, batch: Readable, segment_bytes: int, path: Path, error: OSError
    ) -> SendResult:
        # An ICMP error that an earlier datagram caused comes out of the next send, which then
        # sends nothing. So only an error that comes again is about this batch.
        self.took_error = True
        for _attempt in range(2):
            if RESULTS.get(error.errno or 0) is SendResult.WOULD_BLOCK:
                break
            if 0 < segment_bytes < len(batch) and error.errno in UNSEGMENTABLE:
                self.segmented = error.errno == errno.EINVAL
                return self._send_singly(batch, segment_bytes, path)
            try:
                self._transmit(batch, segment_bytes, path)
            except OSError as newer:
                error = newer
            else:
                return SendResult.OK
        self.last_error = error.errno or 0
        result = RESULTS.get(self.last_error, SendResult.REFUSED_BY_SYSTEM)
        if result is SendResult.UNREACHABLE and self._device_is_gone():
            return SendResult.DEVICE_GONE
        return result

    def _device_is_gone(self) -> bool:
        """Tell whether the device that this socket is bound to was deleted.

        The kernel says ENODEV only to IPv4, and only while another route leads there.
        """
        try:
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        except OSError:
            return True
        return False

    def _send_singly(self, batch: Readable, segment_bytes: int, path: Path) -> SendResult:
        whole = memoryview(batch)
        for start in range(0, len(whole), segment_bytes):
            datagram = whole[start : start + segment_bytes]
            try:
                self._transmit(datagram, 0, path)
            except OSError as error:
                result = self._send_again(datagram, 0, path, error)
                if result is not SendResult.OK:
                    return result
        return SendResult.OK
