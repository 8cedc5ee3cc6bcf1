"""A client's socket for one link: where it binds, whom it talks to, opened again when it can be."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from typing import Final

from .config import LinkConfig
from .core.errors import ConfigError
from .linux.netlink import Netlink
from .linux.udp import ClientSocket, LinkUnavailableError

# How long a link may be down before its socket is replaced: while it never was up, as where the
# first of the server's addresses does not do; once it was; and at last.
FIRST_PATIENCE_SECONDS: Final = 1.0
LEAST_PATIENCE_SECONDS: Final = 3.0
MOST_PATIENCE_SECONDS: Final = 15.0


def resolve(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """Look a server's name up; ConfigError when it has no address."""
    try:
        # As bytes: for text, Python loads the tables of IDNA, a megabyte, even if it is ASCII.
        name = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigError(
            f"the server's name {host} does not resolve: {error.args[-1]}; check --server and DNS"
        ) from error
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


class LinkSocket:
    """One link's socket, opened again whenever its interface or address comes back."""

    def __init__(
        self,
        number: int,
        config: LinkConfig,
        server: list[IPv4Address | IPv6Address],
        mark: int = 0,
    ) -> None:
        self.number = number
        self.config = config
        self.socket: ClientSocket | None = None
        self.opened_at = -inf
        self.failure = ""
        self._server = server
        self._mark = mark
        self.missing = False  # whatever it binds to, or whom it could talk to, is not there
        self._used: IPv4Address | IPv6Address | None = None
        self._worn_out = False
        self._patience = FIRST_PATIENCE_SECONDS
        self._down_since: float | None = None

    def open(self, port: int) -> bool:
        """Open the socket; False when that is not possible at present.

        Of the server's addresses, the one that was used last goes first, unless it has worn out.
        """
        self.missing = False
        try:
            device, source, versions = self._where()
            for remote in self._remotes(source):
                if remote.version not in versions:
                    self.failure = f"{device} has no IPv{remote.version} address at present"
                    continue
                try:
                    self.socket = ClientSocket((remote, port), device, source, self._mark)
                    self.failure = ""
                    self._used = remote
                    self._worn_out = False
                    return True
                except LinkUnavailableError as error:
                    self.failure = str(error)
        except ConfigError as error:
            # As when a mobile stick is not plugged in: it may be, later.
            self.missing = True
            self.failure = str(error)
        return False

    def wears_out(self, down: bool, now: float) -> bool:
        """Hear whether the link is down; tell whether a fresh socket may help.

        A router may have forgotten, or confused, where answers to this port go. Each try that
        does not help doubles the wait for the next.
        """
        if not down or self.socket is None:
            self._down_since = None
            if not down:
                self._patience = LEAST_PATIENCE_SECONDS
            return False
        if self._down_since is None:
            self._down_since = now
        if now - self._down_since < self._patience:
            return False
        self._patience = min(2 * self._patience, MOST_PATIENCE_SECONDS)
        self._down_since = now
        self._worn_out = True
        return True

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _where(self) -> tuple[str | None, IPv4Address | IPv6Address | None, set[int]]:
        """Return the device and source address to bind to, and which versions of IP it has.

        An alias label is an address. A device that has none would send from another one's: the
        kernel takes what it finds, and answers come in there.
        """
        source = self.config.address
        if source is not None:
            return None, source, {source.version}
        name = self.config.device or ""
        with Netlink() as netlink:
            found = netlink.find_link(name)
        if ":" in name:
            if found is None:
                raise ConfigError(
                    f"no address has the label {name}; check --link {self.config.where}"
                )
            source = found.addresses[0].ip
            return found.name, source, {source.version}
        if found is None:
            raise ConfigError(f"there is no network interface {name}")
        addresses = [each.ip for each in found.addresses]
        usable = [each for each in addresses if each.version == 4 or not each.is_link_local]
        return name, None, {each.version for each in usable}

    def _remotes(self, source: IPv4Address | IPv6Address | None) -> list[IPv4Address | IPv6Address]:
        fit = [one for one in self._server if source is None or one.version == source.version]
        if not fit:
            raise ConfigError(
                f"--link {self.config.where}: the server has no IPv{source and source.version} "
                "address"
            )
        first = (fit.index(self._used) + self._worn_out) % len(fit) if self._used in fit else 0
        return fit[first:] + fit[:first]

    @property
    def device(self) -> str | None:
        """The network interface that the link is bound to, if it is to one."""
        return self.config.device.partition(":")[0] if self.config.device else None

    def uses(self, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether it sends from this address."""
        return self.socket is not None and self.socket.local_host == str(address)
