"""Which routes, rules and packet filters a tunnel wants. Plain values in, plain values out.

The client, as `wg-quick` users expect, with rules asked in this order:

    7700, 7701  our own datagrams (they carry MARK): each line's table, by its address or device
    7710        everything: the main table, but none of its default routes (the home network, ...)
    7720        packets from a line's address: that line's table. So answers leave through the line
                that the question came in by, and a strict rp_filter finds every line reasonable
    7730        what has no MARK: the tunnel's table, with the default route through the tunnel

A line's table holds its network and its default route. Networks other than the default are routed
in the main table, where the longest prefix wins. With a kill switch there is an unreachable route
behind each route into the tunnel, and a filter on the lines' devices, and both stay when the
daemon has gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from .config import IPAddress, IPInterface, IPNetwork, RoutingConfig
from .linux.firewall_rules import (
    ACCEPT,
    DROP,
    RETURN,
    Chain,
    ClampSegments,
    FirewallRule,
    From,
    InDevice,
    Mark,
    Masquerade,
    OutDevice,
    Port,
    To,
    Verdict,
)
from .linux.route_messages import Route, Rule
from .linux.routes import MAIN_TABLE, Default

MARK: Final = 0x7772
CLIENT_TAG: Final = 119  # a routing protocol's number, of those that nobody has taken
SERVER_TAG: Final = 120
TUNNEL_TABLE: Final = 7700
LINE_TABLES: Final = 7701  # plus the link's number
OWN_BY_ADDRESS, OWN_BY_DEVICE, SPECIFIC, BY_ADDRESS, REST = 7700, 7701, 7710, 7720, 7730
LAST_METRIC: Final = 4_000_000_000  # behind every other route

CLIENT_FIREWALL: Final = "wrrtun-client"
SERVER_FIREWALL: Final = "wrrtun-server"
KILL_SWITCH: Final = "wrrtun-block"
MANGLE, FILTER, SOURCE_NAT = -150, 0, 100
TCP, UDP = 6, 17
DHCP_SERVER, DHCP6_SERVER, DNS, DNS_OVER_TLS = 67, 547, 53, 853
# What never leaves the wire that it is on: neighbour discovery, DHCP, mDNS.
LOCAL_ONLY: Final = tuple(
    ip_network(text) for text in ("fe80::/10", "ff02::/16", "224.0.0.0/24", "255.255.255.255/32")
)


@dataclass(frozen=True)
class Way:
    """How a line leads to the internet in one family; no gateway: straight (PPP)."""

    version: int
    gateway: IPAddress | None


@dataclass(frozen=True)
class Line:
    """One link as routing sees it. `by_device`: its socket is bound to the device alone."""

    number: int
    device: str
    addresses: tuple[IPInterface, ...]
    ways: tuple[Way, ...]
    by_device: bool


@dataclass(frozen=True)
class Tunnel:
    """The tunnel as routing sees it.

    `present`: its device is there. `carrying`: packets shall go into it. `block`: where they must
    not go anywhere else.
    """

    device: str
    routing: RoutingConfig
    present: bool
    carrying: bool
    block: bool


def ways(
    device: str,
    addresses: Sequence[IPInterface],
    defaults: Sequence[Default],
    configured: IPAddress | None,
    *,
    alone: bool,
) -> tuple[Way, ...]:
    """Find a line's gateways: the configured one, or that of the machine's default route.

    Where several lines share a device (not `alone`), a default route is a line's if it says so by
    its source address, or if its gateway is in the line's network.
    """
    found = []
    for version in (4, 6):
        own = [one for one in addresses if one.version == version and not one.ip.is_link_local]
        if not own:
            continue
        if configured is not None and configured.version == version:
            found.append(Way(version, configured))
            continue
        there = [one for one in defaults if (one.device, one.version) == (device, version)]
        ours = [one for one in there if one.source in [address.ip for address in own]]
        ours += [one for one in there if _is_in(one.gateway, own)]
        if alone:
            ours += there
        if ours:
            found.append(Way(version, ours[0].gateway))
    return tuple(found)


def _is_in(gateway: IPAddress | None, addresses: Sequence[IPInterface]) -> bool:
    return gateway is not None and any(gateway in address.network for address in addresses)


def client_routes(tunnel: Tunnel, lines: Iterable[Line]) -> tuple[set[Route], set[Rule]]:
    """Say which routes and rules a client needs."""
    routes: set[Route] = set()
    rules: set[Rule] = set()
    if tunnel.present:
        for line in lines:
            for way in line.ways:
                _add_line(line, way, routes, rules)
    through = {via.version: via for via in tunnel.routing.via}
    for network in tunnel.routing.networks:
        everything = network.prefixlen == 0
        table = TUNNEL_TABLE if everything else MAIN_TABLE
        inside = tunnel.present and tunnel.carrying
        if inside:
            routes.add(Route(network, table, tunnel.device, through[network.version]))
        if tunnel.block:
            routes.add(Route(network, table, None, metric=LAST_METRIC))
        if everything and (inside or tunnel.block):
            rules.add(Rule(network.version, SPECIFIC, MAIN_TABLE, specific=True))
            rules.add(Rule(network.version, REST, TUNNEL_TABLE, unmarked=MARK))
    return routes, rules


def _add_line(line: Line, way: Way, routes: set[Route], rules: set[Rule]) -> None:
    version, table = way.version, LINE_TABLES + line.number
    own = [one for one in line.addresses if one.version == version and not one.ip.is_link_local]
    anywhere = ip_network("0.0.0.0/0" if version == 4 else "::/0")
    for address in own:
        if address.network.prefixlen < address.network.max_prefixlen:
            routes.add(Route(address.network, table, line.device, source=address.ip))
        if not line.by_device:
            rules.add(Rule(version, OWN_BY_ADDRESS, table, source=address.ip, mark=MARK))
        rules.add(Rule(version, BY_ADDRESS, table, source=address.ip))
    routes.add(Route(anywhere, table, line.device, way.gateway, own[0].ip))
    if line.by_device:
        rules.add(Rule(version, OWN_BY_DEVICE, table, device=line.device, mark=MARK))


def server_routes(peers: Mapping[str, RoutingConfig]) -> set[Route]:
    """Say which routes a server needs, by the devices of its peers."""
    return {
        Route(network, MAIN_TABLE, device, via)
        for device, routing in peers.items()
        for network in routing.networks
        for via in routing.via
        if via.version == network.version
    }


def client_firewall(tunnel: Tunnel, lines: Sequence[Line], *, nat: bool) -> tuple[Chain, ...]:
    """Say how a client changes what it forwards: segment sizes, and source addresses."""
    chains = [_clamp([tunnel.device])]
    if nat:
        rules: list[FirewallRule] = [(OutDevice(tunnel.device), Masquerade())]
        # For when packets go over the lines. What is this machine's own already has the right
        # address, and on a device with several lines the kernel would take the wrong one.
        rules += [
            (From(ip_network(address.ip)), Verdict(RETURN))
            for line in lines
            for address in line.addresses
        ]
        rules += [(OutDevice(device), Masquerade()) for device in _devices(lines)]
        chains.append(Chain("postrouting", "nat", "postrouting", SOURCE_NAT, tuple(rules)))
    return tuple(chains)


def server_firewall(
    devices: Sequence[str], networks: Sequence[IPNetwork], *, nat: bool
) -> tuple[Chain, ...]:
    """Say how a server changes what it forwards for the `networks` behind its `devices`."""
    if not devices:
        return ()
    chains = [_clamp(devices)]
    if nat:
        rules: list[FirewallRule] = [(OutDevice(device), Verdict(RETURN)) for device in devices]
        rules += [(From(network), Masquerade()) for network in networks]
        chains.append(Chain("postrouting", "nat", "postrouting", SOURCE_NAT, tuple(rules)))
    return tuple(chains)


def kill_switch(lines: Sequence[Line]) -> tuple[Chain, ...]:
    """Say what may still leave through the lines' devices: our datagrams, and what is local.

    A name server in the line's own network is not local: it would ask the internet for us.
    """
    own: list[FirewallRule] = [
        (OutDevice(device), Mark(MARK), Verdict(ACCEPT)) for device in _devices(lines)
    ]
    rules: list[FirewallRule] = []
    for device in _devices(lines):
        out = OutDevice(device)
        local = {
            ip_network(address.network)
            for line in lines
            if line.device == device
            for address in line.addresses
        }
        rules += [
            (out, Port(protocol, port), Verdict(DROP))
            for protocol in (TCP, UDP)
            for port in (DNS, DNS_OVER_TLS)
        ]
        rules += [(out, Port(UDP, port), Verdict(ACCEPT)) for port in (DHCP_SERVER, DHCP6_SERVER)]
        rules += [
            (out, To(network), Verdict(ACCEPT))
            for network in [*LOCAL_ONLY, *sorted(local, key=str)]
        ]
        rules.append((out, Verdict(DROP)))
    return (
        Chain("output", "filter", "output", FILTER, (*own, *rules)),
        Chain("forward", "filter", "forward", FILTER, tuple(rules)),
    )


def _clamp(devices: Sequence[str]) -> Chain:
    rules = [
        (part(device), ClampSegments()) for device in devices for part in (OutDevice, InDevice)
    ]
    return Chain("forward", "filter", "forward", MANGLE, tuple(rules))


def _devices(lines: Sequence[Line]) -> list[str]:
    return sorted({line.device for line in lines})
