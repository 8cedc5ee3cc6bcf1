"""Keep the machine's routes and packet filters as the tunnel wants them (routing.py says how).

Looks at the machine anew each time: what DHCP, the operator or a router advertisement has changed
is followed, and what somebody took away is put back.
"""

import contextlib
import logging
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from .config import ClientConfig, IPNetwork, LinkConfig, PeerConfig
from .core.errors import ConfigError
from .linux.firewall import let_forward, replace_table
from .linux.firewall_rules import Chain
from .linux.machine import claim
from .linux.netlink import LinkInfo, Netlink
from .linux.routes import Default, Routes
from .routing import (
    CLIENT_FIREWALL,
    CLIENT_TAG,
    KILL_SWITCH,
    SERVER_FIREWALL,
    SERVER_TAG,
    Line,
    Tunnel,
    Way,
    client_firewall,
    client_routes,
    kill_switch,
    server_firewall,
    server_routes,
    ways,
)

log = logging.getLogger("wrrtun")


class _Machine:
    """What is in place, so that only changes are made, and each trouble is told once."""

    def __init__(self, tag: int) -> None:
        self._tag = tag
        self._tables: dict[str, tuple[Chain, ...]] = {}
        self._told: set[str] = set()

    def put(self, name: str, chains: tuple[Chain, ...]) -> None:
        """Have a table of nftables be this."""
        if self._tables.get(name) == chains:
            return
        try:
            replace_table(name, chains)
        except ConfigError:
            if chains:
                raise
            return  # no nftables: so there is no table of ours either
        self._tables[name] = chains

    def tell(self, sentences: Sequence[str]) -> None:
        """Log what is wrong, once for as long as it lasts."""
        for sentence in sentences:
            if sentence not in self._told:
                log.warning("%s", sentence)
        self._told = set(sentences)


class ClientRouter(_Machine):
    """The client's routes. Nothing is touched without `route` in the configuration."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(CLIENT_TAG)
        self._config = config

    @property
    def active(self) -> bool:
        """Tell whether the configuration routes anything."""
        return bool(self._config.routing.networks)

    def configure(self, config: ClientConfig) -> None:
        """Go by another configuration from the next update on."""
        self._config = config

    def update(self, *, present: bool, carrying: bool) -> None:
        """Make routes, rules and filters what they shall be now.

        Without anything to route, only what an earlier run has left is taken away.
        """
        config = self._config
        block = config.when_down == "block" and self.active
        tunnel = Tunnel(config.device, config.routing, present, carrying, block)
        with Routes(self._tag) as routes, Netlink() as netlink:
            defaults = routes.defaults() if self.active else []
            lines, troubles = self._lines(netlink, defaults) if self.active else ([], [])
            if block:
                self.put(KILL_SWITCH, kill_switch(lines))
            wanted = client_routes(tunnel, lines)
            troubles += routes.sync(*wanted)
        if not block:
            self.put(KILL_SWITCH, ())
        inside = self.active and present
        if inside and config.nat:
            _forward(config.routing.networks)
        self.put(CLIENT_FIREWALL, client_firewall(tunnel, lines, nat=config.nat) if inside else ())
        self.tell(troubles if present else [])

    def _lines(self, netlink: Netlink, defaults: Sequence[Default]) -> tuple[list[Line], list[str]]:
        """Look where the links are; and a sentence for each that leads nowhere."""
        places = {number: _place(netlink, link) for number, link in enumerate(self._config.links)}
        lines, troubles = [], []
        for number, link in enumerate(self._config.links):
            info = places[number]
            if info is None:  # the link itself says so; a kill switch must know its device
                if link.device is not None and ":" not in link.device:
                    lines.append(Line(number, link.device, (), (), by_device=True))
                continue
            by_device = link.device == info.name
            sharing = [other for n, other in places.items() if other and n != number]
            sharing = [other for other in sharing if other.name == info.name]
            addresses = info.addresses
            if by_device:
                theirs = {address for other in sharing for address in other.addresses}
                addresses = tuple(own for own in addresses if own not in theirs)
            gateway = self._config.gateways.get(link.where)
            found: tuple[Way, ...] = ()
            if info.up:  # else the kernel takes no routes, and says so again and again
                found = ways(info.name, addresses, defaults, gateway, alone=not sharing)
            if not found and addresses and info.up:
                troubles.append(
                    f"link {link.where} has no gateway: make a default route over "
                    f"{info.name}, or name it in [gateways]"
                )
            lines.append(Line(number, info.name, addresses, found, by_device))
        return lines, troubles


def _place(netlink: Netlink, link: LinkConfig) -> LinkInfo | None:
    """Find a link's device, with the addresses that are the link's own."""
    if link.device is not None:
        return netlink.find_link(link.device)
    assert link.address is not None
    info = netlink.find_address(link.address)
    if info is None:
        return None
    own = tuple(address for address in info.addresses if address.ip == link.address)
    return LinkInfo(info.index, info.name, info.mtu, info.up, info.carrier, own)


class ServerRouter(_Machine):
    """The server's routes to what is behind its clients, and its NAT."""

    def __init__(self) -> None:
        super().__init__(SERVER_TAG)

    def update(self, peers: Mapping[str, PeerConfig], *, nat: bool) -> None:
        """Make routes and filters what the peers, by their devices, need now."""
        networks: list[IPNetwork] = []
        for peer in peers.values():
            networks += [ip_network(address.network) for address in peer.addresses]
            networks += peer.routing.networks
        with Routes(self._tag) as routes:
            wanted = server_routes({device: peer.routing for device, peer in peers.items()})
            self.tell(routes.sync(wanted, ()))
        if nat and peers:
            _forward(networks)
        routed = bool(peers) and (nat or any(peer.routing.networks for peer in peers.values()))
        self.put(
            SERVER_FIREWALL,
            server_firewall(sorted(peers), networks, nat=nat) if routed else (),
        )

    def close(self) -> None:
        """Take the filters away; the routes go with their devices."""
        with contextlib.suppress(ConfigError):
            self.put(SERVER_FIREWALL, ())


def claim_routes() -> socket.socket | None:
    """Be the one client of this machine that routes; None: another one is."""
    return claim("wrrtun-client-routes")


def unblock() -> None:
    """Take away all that a client's daemon has left; ConfigError while one runs."""
    if (holder := claim_routes()) is None:
        raise ConfigError("the client runs; stop it first, or change its when_down and reload it")
    with holder:
        _take_all_away()


def _take_all_away() -> None:
    for name in (KILL_SWITCH, CLIENT_FIREWALL):
        replace_table(name, ())
    with Routes(CLIENT_TAG) as routes:
        failures = routes.sync((), ())
    if failures:
        raise ConfigError("; ".join(failures))


def _forward(networks: Sequence[IPNetwork]) -> None:
    for version in sorted({network.version for network in networks}):
        let_forward(version)
