"""A client's socket for one link: where it binds, whom it talks to, opened again when it can be."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from .config import LinkConfig
from .core.errors import ConfigError
from .linux.netlink import Netlink
from .linux.udp import ClientSocket, LinkUnavailableError


def resolve(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """Look a server's name up; ConfigError when it has no address."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
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
        self.failure = ""
        self._server = server
        self._mark = mark

    def open(self, port: int) -> bool:
        """Open the socket; False when that is not possible at present."""
        try:
            device, source = self._where()
            remote = self._remote(source)
            self.socket = ClientSocket((remote, port), device, source, self._mark)
        except LinkUnavailableError as error:
            self.failure = str(error)
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _where(self) -> tuple[str | None, IPv4Address | IPv6Address | None]:
        """Return the device and source address to bind to; an alias label is an address."""
        if self.config.address is not None:
            return None, self.config.address
        name = self.config.device or ""
        if ":" not in name:
            return name, None
        with Netlink() as netlink:
            found = netlink.find_link(name)
        if found is None:
            raise ConfigError(f"no address has the label {name}; check --link {self.config.where}")
        return found.name, found.addresses[0].ip

    def _remote(self, source: IPv4Address | IPv6Address | None) -> IPv4Address | IPv6Address:
        for address in self._server:
            if source is None or address.version == source.version:
                return address
        raise ConfigError(
            f"--link {self.config.where}: the server has no IPv{source and source.version} address"
        )
