"""UDP sockets of the links: a client's, one for each link, and the server's one.

What a batch is, and what the network may do to it, stands in batch_socket.py.
"""

import errno
import socket
import struct
from typing import Final

from wrrtun.core.errors import ConfigError, WrrtunError

from .batch_socket import (
    SO_TIMESTAMPNS_NEW,
    TIMESPEC,
    UDP_GRO,
    UDP_SEGMENT,
    BatchSocket,
    Readable,
    SendResult,
    Writable,
)
from .paths import Address, Path, socket_address_text

__all__ = ["ClientSocket", "LinkUnavailableError", "SendResult", "ServerSocket"]

# From linux/in.h and linux/in6.h; the socket module does not know them.
IP_PKTINFO: Final = 8
IP_MTU: Final = 14
IPV6_MTU: Final = 24

SEGMENT: Final = struct.Struct("=H")
GRO: Final = struct.Struct("=i")
PACKET_INFO_4: Final = struct.Struct("=I4s4s")  # device, our address, the header's destination
PACKET_INFO_6: Final = struct.Struct("=16sI")  # our address, device
CLIENT_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(GRO.size) + socket.CMSG_SPACE(TIMESPEC.size)
SERVER_ANCILLARY_BYTES: Final = CLIENT_ANCILLARY_BYTES + socket.CMSG_SPACE(PACKET_INFO_6.size)
CACHED_ANCILLARIES: Final = 512

NOWHERE: Final = Path((), b"")  # a connected socket knows its path


class LinkUnavailableError(WrrtunError):
    """A link cannot be opened at present; it may be possible when the network changes."""


class ClientSocket(BatchSocket):
    """One link of a client: connected, so that only the server's datagrams come in."""

    def __init__(
        self,
        server: tuple[Address, int],
        device: str | None = None,
        source: Address | None = None,
        mark: int = 0,
    ) -> None:
        """Open a fresh source port towards the server, through a device, from an address, or both.

        What it sends carries `mark`, for the machine's routing rules.

        A port used before may meet a stale NAT entry; so a link that comes back opens a new
        socket instead of binding its old one again.
        """
        host, port = server
        if source is not None and source.version != host.version:
            raise ConfigError(f"no link leads from {source} to {host}: IPv4 and IPv6 do not mix")
        try:
            super().__init__(socket.AF_INET if host.version == 4 else socket.AF_INET6)
        except OSError as error:
            raise ConfigError(f"IPv{host.version} is switched off: {error.strerror}") from error
        self._segment_bytes = 0  # what UDP_SEGMENT is set to; 0: nothing is cut
        self._send_plain = self._socket.send
        try:
            if mark:
                self._mark(mark)
            self._attach(device, source)
            self._connect(host, port, device)
        except WrrtunError:
            self.close()
            raise

    def _mark(self, mark: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        except OSError as error:
            raise ConfigError(
                f"cannot mark our own packets, as routes need it: {error.strerror}; "
                "run as root or with CAP_NET_ADMIN"
            ) from error

    def _attach(self, device: str | None, source: Address | None) -> None:
        if device is not None:
            try:
                self._socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0"
                )
            except OSError as error:
                if error.errno == errno.ENODEV:
                    raise ConfigError(f"there is no network interface {device}") from error
                raise ConfigError(f"cannot bind to {device}: {error.strerror}") from error
        if source is not None:
            try:
                self._socket.bind((str(source), 0))
            except OSError as error:
                raise ConfigError(
                    f"the address {source} is not on this machine: {error.strerror}"
                ) from error

    def _connect(self, host: Address, port: int, device: str | None) -> None:
        try:
            self._socket.connect((str(host), port))
        except OSError as error:
            through = f" through {device}" if device else ""
            raise LinkUnavailableError(
                f"no way to {host}{through} at present: {error.strerror}"
            ) from error

    @property
    def remote_text(self) -> str:
        """The server's end, for people."""
        return socket_address_text(self._socket.getpeername())

    @property
    def mtu_bytes(self) -> int | None:
        """The IP-layer MTU that the kernel assumes towards the server; None without a route."""
        four = self._socket.family == socket.AF_INET
        try:
            return self._socket.getsockopt(
                socket.IPPROTO_IP if four else socket.IPPROTO_IPV6, IP_MTU if four else IPV6_MTU
            )
        except OSError:
            return None

    def receive_into(self, buffer: Writable) -> tuple[int, int] | None:
        """Receive a batch; return (size, segment_bytes), or None when nothing is there.

        `buffer` holds 64 KB. A single datagram has segment_bytes = size, at least 1, so that
        range(0, size, segment_bytes) always walks the batch.
        """
        received = self._receive(buffer, CLIENT_ANCILLARY_BYTES)
        if received is None:
            return None
        size, ancillary, _flags, _address = received
        segment_bytes = size or 1
        for _level, kind, data in ancillary:
            if kind == UDP_GRO and len(data) == GRO.size:
                segment_bytes = GRO.unpack(data)[0]
            elif kind == SO_TIMESTAMPNS_NEW:
                self._note_time(data)
        return size, segment_bytes

    def send(self, batch: Readable, segment_bytes: int) -> SendResult:
        """Send a batch of at most 64 datagrams and 65 507 bytes, or one datagram (<= a segment)."""
        return self._send(batch, segment_bytes, NOWHERE)

    def _transmit(self, batch: Readable, segment_bytes: int, _path: Path) -> None:
        # As a socket option the segment size costs one call when it changes (0.4 us); as ancillary
        # data it costs the same with every send. It leaves a shorter datagram alone, except where
        # the kernel cannot cut at all: there a batch's fallback needs it off (0).
        size = len(batch)
        if 0 < segment_bytes < size:
            wanted = segment_bytes
        elif segment_bytes and size <= self._segment_bytes:
            wanted = self._segment_bytes
        else:
            wanted = 0
        if wanted != self._segment_bytes:
            self._socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, wanted)
            self._segment_bytes = wanted
        self._send_plain(batch)


class ServerSocket(BatchSocket):
    """The one socket of a server. It answers from the address that it was asked on.

    Connected clients never see an answer from another address.
    """

    def __init__(self, address: Address | None, port: int) -> None:
        """Listen on one address, or with None on all of IPv4 and IPv6 (IPv4 alone if need be)."""
        family = socket.AF_INET if address and address.version == 4 else socket.AF_INET6
        try:
            super().__init__(family)
        except OSError as error:
            if address is not None:
                raise ConfigError(f"cannot listen on {address}: {error.strerror}") from error
            family = socket.AF_INET
            super().__init__(family)
        self._ancillaries: dict[tuple[bytes, int], list[tuple[int, int, bytes]]] = {}
        self._sendmsg = self._socket.sendmsg
        if family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._info_kind, self._local = socket.IPV6_PKTINFO, slice(0, 16)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._info_kind, self._local = IP_PKTINFO, slice(4, 8)
        self._bind(str(address or ("::" if family == socket.AF_INET6 else "0.0.0.0")), port)

    def _bind(self, host: str, port: int) -> None:
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self.close()
            reasons = {
                errno.EADDRINUSE: f"UDP port {port} is in use, perhaps by another wrrtun",
                errno.EADDRNOTAVAIL: f"the address {host} is not on this machine",
                errno.EACCES: f"UDP port {port} needs root or CAP_NET_BIND_SERVICE",
            }
            raise ConfigError(
                reasons.get(error.errno or 0, f"cannot listen on {host} port {port}: {error}")
            ) from error

    def receive_into(self, buffer: Writable) -> tuple[int, int, Path] | None:
        """Receive a batch; return (size, segment_bytes, path), or None when nothing is there.

        As ClientSocket.receive_into; a batch is always of one path.
        """
        received = self._receive(buffer, SERVER_ANCILLARY_BYTES)
        if received is None:
            return None
        size, ancillary, _flags, remote = received
        segment_bytes = size or 1
        local = b""
        for _level, kind, data in ancillary:
            if kind == UDP_GRO and len(data) == GRO.size:
                segment_bytes = GRO.unpack(data)[0]
            elif kind == self._info_kind:
                local = data[self._local]
            elif kind == SO_TIMESTAMPNS_NEW:
                self._note_time(data)
        return size, segment_bytes, Path(remote, local)

    def send(self, batch: Readable, segment_bytes: int, path: Path) -> SendResult:
        """Send a batch along a path, as ClientSocket.send."""
        return self._send(batch, segment_bytes, path)

    def _transmit(self, batch: Readable, segment_bytes: int, path: Path) -> None:
        key = (path.local, segment_bytes if segment_bytes < len(batch) else 0)
        ancillary = self._ancillaries.get(key) or self._make_ancillary(*key)
        self._sendmsg((batch,), ancillary, 0, path.remote)

    def _make_ancillary(self, local: bytes, segment_bytes: int) -> list[tuple[int, int, bytes]]:
        # The device stays open (0): only routes know where the client is.
        ancillary: list[tuple[int, int, bytes]] = []
        if len(local) == 16:
            info = PACKET_INFO_6.pack(local, 0)
            ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info))
        elif local:
            info = PACKET_INFO_4.pack(0, local, bytes(4))
            ancillary.append((socket.IPPROTO_IP, IP_PKTINFO, info))
        if segment_bytes:
            ancillary.append((socket.IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(segment_bytes)))
        if len(self._ancillaries) >= CACHED_ANCILLARIES:
            self._ancillaries.clear()
        self._ancillaries[local, segment_bytes] = ancillary
        return ancillary
