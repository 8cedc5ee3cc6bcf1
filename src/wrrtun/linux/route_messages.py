"""Routes and rules of ours as rtnetlink's messages, and back; laid out by pyroute2."""

import errno
import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from pyroute2.netlink.rtnl import rt_scope, rt_type
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from .netlink import FAMILIES
from .paths import Address

Network = IPv4Network | IPv6Network

TO_TABLE: Final = 1  # FR_ACT_TO_TBL
INVERT: Final = 2  # FIB_RULE_INVERT


@dataclass(frozen=True, slots=True)
class Route:
    """A route of ours. `device` None: what it leads to is unreachable."""

    network: Network
    table: int
    device: str | None
    gateway: Address | None = None
    source: Address | None = None
    metric: int = 1  # never 0: IPv6 would make another number of it

    def __str__(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        way = f"{via} dev {self.device}" if self.device else " unreachable"
        return f"the route to {self.network}{way} in table {self.table}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ours: which packets look into which table.

    `mark` and `unmarked`: packets that have it, or have not. `specific`: routes of the table that
    are default routes do not count.
    """

    version: int
    priority: int
    table: int
    source: Address | None = None
    device: str | None = None  # that the packet's socket is bound to
    mark: int | None = None
    unmarked: int | None = None
    specific: bool = False

    def __str__(self) -> str:
        return f"the IPv{self.version} rule {self.priority} to table {self.table}"


def with_family(message: Any, family: int) -> Any:
    """Say which family a question is about."""
    message["family"] = family
    return message


def version(message: Any) -> int:
    """Return the IP version of a message."""
    return 4 if message["family"] == socket.AF_INET else 6


def table(message: Any) -> int:
    """Return the table that a route is in."""
    return int(message.get_attr("RTA_TABLE") or message["table"])


def network(message: Any) -> Network:
    """Return where a route leads."""
    anywhere = "0.0.0.0" if version(message) == 4 else "::"
    return ip_network((message.get_attr("RTA_DST") or anywhere, message["dst_len"]), strict=False)


def hops(message: Any) -> list[tuple[int, str | None]]:
    """Return interface index and gateway of each way that a route leads."""
    several = message.get_attr("RTA_MULTIPATH")
    if several:
        return [(hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in several]
    index = message.get_attr("RTA_OIF")
    return [(index, message.get_attr("RTA_GATEWAY"))] if index else []


def device_name(index: int) -> str | None:
    """Return the name of a device; None when it has gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


def read_route(message: Any) -> Route | None:
    """Return the route that a message tells of; None when its device has gone."""
    ways = hops(message)
    reachable = message["type"] == rt_type["unicast"]
    device = device_name(ways[0][0]) if ways and reachable else None
    if reachable and device is None:
        return None  # its device has gone, and it with it
    gateway = ways[0][1] if reachable else None
    source = message.get_attr("RTA_PREFSRC")
    return Route(
        network(message),
        table(message),
        device,
        ip_address(gateway) if gateway else None,
        ip_address(source) if source else None,
        message.get_attr("RTA_PRIORITY") or 0,
    )


def route_message(route: Route, tag: int) -> Any:
    """Lay out a route that carries our tag; OSError when its device is not there."""
    message = rtmsg()
    message["family"] = FAMILIES[route.network.version]
    message["dst_len"] = route.network.prefixlen
    message["table"] = route.table if route.table < 256 else 0
    message["proto"] = tag
    message["type"] = rt_type["unreachable" if route.device is None else "unicast"]
    direct = route.device is not None and route.gateway is None
    message["scope"] = rt_scope["link" if direct and route.network.version == 4 else "universe"]
    attributes: list[tuple[str, Any]] = [
        ("RTA_TABLE", route.table),
        ("RTA_PRIORITY", route.metric),
    ]
    if route.network.prefixlen:
        attributes.append(("RTA_DST", str(route.network.network_address)))
    if route.device is not None:
        attributes.append(("RTA_OIF", _index(route.device)))
    if route.gateway is not None:
        attributes.append(("RTA_GATEWAY", str(route.gateway)))
    if route.source is not None:
        attributes.append(("RTA_PREFSRC", str(route.source)))
    message["attrs"] = attributes
    return message


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def read_rule(message: Any) -> Rule:
    """Return the rule that a message tells of."""
    source = message.get_attr("FRA_SRC")
    mark = message.get_attr("FRA_FWMARK")
    inverted = message["flags"] & INVERT
    return Rule(
        version(message),
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE") or message["table"],
        ip_address(source) if source else None,
        message.get_attr("FRA_OIFNAME"),
        None if inverted else mark,
        mark if inverted else None,
        message.get_attr("FRA_SUPPRESS_PREFIXLEN") == 0,
    )


def rule_message(rule: Rule, tag: int) -> Any:
    """Lay out a rule that carries our tag."""
    message = fibmsg()
    message["family"] = FAMILIES[rule.version]
    message["table"] = rule.table if rule.table < 256 else 0
    message["action"] = TO_TABLE
    attributes: list[tuple[str, Any]] = [
        ("FRA_TABLE", rule.table),
        ("FRA_PRIORITY", rule.priority),
        ("FRA_PROTOCOL", tag),
    ]
    if rule.source is not None:
        message["src_len"] = rule.source.max_prefixlen
        attributes.append(("FRA_SRC", str(rule.source)))
    if rule.device is not None:
        attributes.append(("FRA_OIFNAME", rule.device))
    mark = rule.mark if rule.unmarked is None else rule.unmarked
    if mark is not None:
        attributes += [("FRA_FWMARK", mark), ("FRA_FWMASK", 0xFFFFFFFF)]
    if rule.unmarked is not None:
        message["flags"] = INVERT
    if rule.specific:
        attributes.append(("FRA_SUPPRESS_PREFIXLEN", 0))
    message["attrs"] = attributes
    return message
