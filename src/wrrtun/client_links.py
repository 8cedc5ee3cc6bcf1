"""The sockets of a client's links: opened when they can be, replaced when they do not help."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from .config import LinkConfig
from .core.client import Client
from .core.errors import ConfigError
from .core.link_state import LinkState
from .core.slab import Slab
from .inbox import Inbox
from .link_socket import LinkSocket
from .linux.monitor import AddressRemoved, Change, LinkDown
from .server_name import ServerName

log = logging.getLogger("wrrtun")

# A link whose interface or address is not there is tried again this often; news from netlink
# makes it sooner. While every link is up there is hardly anything to look for.
LOOK_SECONDS: Final = 0.5
CALM_LOOK_SECONDS: Final = 15.0

Read = Callable[[float], int]
HandOn = Callable[[float], None]


class ClientLinks:
    """The links by number, and the server's name that they share.

    `watch` has the loop read a descriptor and hand on what came; `waited` says for how long
    something lay in a socket; `client` returns the core, None before there is one; `wake` polls it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: ServerName,
        watch: Callable[[int, Read, HandOn], None],
        waited: Callable[[float, float], float],
        client: Callable[[], Client | None],
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.sockets: dict[int, LinkSocket] = {}
        self.server = server
        self._loop = loop
        self._watch = watch
        self._waited = waited
        self._inbox = Inbox(self._receive)
        self._client = client
        self._wake = wake
        self._clock = clock

    def add(self, number: int, config: LinkConfig, mark: int) -> None:
        """Take a link in; `open_closed` opens it."""
        self.sockets[number] = LinkSocket(number, config, self.server.addresses, mark)

    def remove(self, number: int) -> None:
        """Close a link for good."""
        self.close(self.sockets.pop(number))

    def start(self) -> None:
        """Open what can be opened; ConfigError when not one link is there to wait for."""
        self.open_closed()
        if all(link.missing for link in self.sockets.values()):
            raise ConfigError(next(iter(self.sockets.values())).failure)

    def open_closed(self) -> None:
        """Open again what was closed."""
        for link in self.sockets.values():
            if link.socket is None:
                self._open(link)

    def watch(self, link: LinkSocket) -> None:
        """Have the loop read a link's socket: anew, after an error."""
        if link.socket is not None:
            self._loop.remove_reader(link.socket.fileno())
            self._watch(link.socket.fileno(), self._reader(link), self._inbox.flush)

    def close(self, link: LinkSocket) -> None:
        """Close a link's socket."""
        if link.socket is not None:
            self._loop.remove_reader(link.socket.fileno())
            link.close()

    def replace(self, link: LinkSocket) -> bool:
        """Put a fresh socket in place of one that refuses to send; tell whether there is one.

        One that is fresh itself is only closed: the next may do no better.
        """
        fresh = self._clock() - link.opened_at < LOOK_SECONDS
        self.close(link)
        if not fresh:
            self._open(link)
        return link.socket is not None

    def look(self, usable: bool) -> float:
        """Open what was closed, and replace what no answer comes to; return when to look again.

        In seconds from now, and sooner when a link changes.
        """
        now = self._clock()
        down = {number for number in self.sockets if self._is_down(number)}
        closed = [link for link in self.sockets.values() if link.socket is None]
        for number, link in self.sockets.items():
            if link.wears_out(number in down, now):
                self.close(link)
                closed.append(link)
        self.server.look(usable, now, self._server_moved)
        if closed:
            self.open_closed()
            self._wake()
        return LOOK_SECONDS if closed or down or not usable else CALM_LOOK_SECONDS

    def network_changed(self, changes: list[Change]) -> None:
        """Act on what netlink tells, before a timeout would."""
        for change in changes:
            for link in self.sockets.values():
                if isinstance(change, LinkDown) and link.device == change.name:
                    self._lose(link, f"{change.name} has no carrier, or is switched off")
                elif isinstance(change, AddressRemoved) and link.uses(change.address):
                    # Where another address has come already, nothing but the path changes.
                    self.close(link)
                    self._open(link)
                    if link.socket is None:
                        self._lose(link, link.failure)
        self.open_closed()

    def _reader(self, link: LinkSocket) -> Read:
        inbox, number, waited = self._inbox, link.number, self._waited

        def one(now: float) -> int:
            if link.socket is None:
                return 0
            received = link.socket.receive_into(inbox.room)
            if received is None:
                return 0
            size, datagram_bytes = received
            inbox.add(number, size, datagram_bytes, now, waited(link.socket.received_at, now))
            return size or 1

        return one

    def _receive(
        self,
        number: int,
        data: memoryview,
        datagram_bytes: int,
        now: float,
        slab: Slab,
        waited: float,
    ) -> None:
        client = self._client()
        if client is not None:
            client.receive(number, data, datagram_bytes, now, slab, waited)

    def _open(self, link: LinkSocket) -> None:
        before = link.failure
        if not link.open(self.server.port):
            if link.failure != before:
                log.warning("link %d is not there yet: %s", link.number, link.failure)
            return
        link.opened_at = self._clock()
        self.watch(link)
        client = self._client()
        if client is not None:
            client.link_renewed(link.number, self._clock())

    def _lose(self, link: LinkSocket, reason: str) -> None:
        self.close(link)
        link.failure = reason
        client = self._client()
        if client is not None:
            client.tunnel.link_lost(link.number, reason, self._clock())

    def _is_down(self, number: int) -> bool:
        client = self._client()
        if client is None:
            return False
        if client.tunnel.sessions.current is None:
            return True  # no answer to a handshake came back
        member = client.tunnel.bond.get(number)
        return member is not None and member.link.state is LinkState.DOWN

    def _server_moved(self) -> None:
        for link in self.sockets.values():
            self.close(link)
        self.open_closed()
        self._wake()
