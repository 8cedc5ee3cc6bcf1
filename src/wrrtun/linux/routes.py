"""Routes and rules: read those of the machine, make and remove those that carry our tag.

What is ours carries a routing protocol number (`tag`), as a routing daemon's does. So it is known
after a crash too: whoever starts next finds it, and `Routes.sync` makes it what it shall be.
"""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETADDR,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    rt_type,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from .closing import Closing
from .netlink import FAMILIES, read_address
from .paths import Address
from .route_messages import (
    Network,
    Route,
    Rule,
    device_name,
    hops,
    network,
    read_route,
    read_rule,
    route_message,
    rule_message,
    table,
    version,
    with_family,
)
from .rtnetlink import Rtnetlink

MAIN_TABLE: Final = 254
CLONED: Final = 0x200  # RTM_F_CLONED
ALREADY: Final = {errno.EEXIST}
GONE: Final = {errno.ESRCH, errno.ENOENT, errno.ENODEV}


@dataclass(frozen=True, slots=True)
class Default:
    """A default route of the machine's main table, not ours."""

    device: str
    version: int
    gateway: Address | None
    source: Address | None
    metric: int


class Routes(Closing):
    """Asks and tells the kernel about routes, in the namespace where it was opened."""

    def __init__(self, tag: int) -> None:
        self._kernel = Rtnetlink()
        self._tag = tag

    def defaults(self) -> list[Default]:
        """Return the machine's default routes, the preferred ones first."""
        found = []
        for message in self._route_messages():
            if message["dst_len"] or message["proto"] == self._tag or table(message) != MAIN_TABLE:
                continue
            if message["type"] != rt_type["unicast"]:
                continue
            source = message.get_attr("RTA_PREFSRC")
            for index, gateway in hops(message):
                device = device_name(index)
                if device is not None:
                    found.append(
                        Default(
                            device,
                            version(message),
                            ip_address(gateway) if gateway else None,
                            ip_address(source) if source else None,
                            message.get_attr("RTA_PRIORITY") or 0,
                        )
                    )
        return sorted(found, key=lambda default: default.metric)

    def networks(self) -> list[Network]:
        """Return the networks that this machine has an address in, or a route to."""
        known = [
            address[0].network
            for message in self._kernel.ask_all(RTM_GETADDR, ifaddrmsg())
            if (address := read_address(message)) is not None
        ]
        return known + [
            network(message) for message in self._route_messages() if message["dst_len"]
        ]

    def sync(self, routes: Iterable[Route], rules: Iterable[Rule]) -> list[str]:
        """Make what carries our tag exactly this; return a sentence for each thing that failed.

        First what is new, then what is too much, so that no packet falls between.
        """
        wanted_routes, wanted_rules = set(routes), set(rules)
        have_routes, have_rules = self.own_routes(), self.own_rules()
        failures = []
        for route in sorted(wanted_routes - have_routes, key=str):
            failures += self._change(route_message, route, make=True)
        for rule in sorted(wanted_rules - have_rules, key=str):
            failures += self._change(rule_message, rule, make=True)
        for rule in have_rules - wanted_rules:
            failures += self._change(rule_message, rule, make=False)
        for route in have_routes - wanted_routes:
            failures += self._change(route_message, route, make=False)
        return failures

    def own_routes(self) -> set[Route]:
        """Return the routes that carry our tag."""
        return {
            route
            for message in self._route_messages()
            if message["proto"] == self._tag and (route := read_route(message)) is not None
        }

    def own_rules(self) -> set[Rule]:
        """Return the rules that carry our tag."""
        return {
            read_rule(message)
            for family in FAMILIES.values()
            for message in self._kernel.ask_all(RTM_GETRULE, with_family(fibmsg(), family))
            if message.get_attr("FRA_PROTOCOL") == self._tag
        }

    def _route_messages(self) -> list[Any]:
        return [
            message
            for family in FAMILIES.values()
            for message in self._kernel.ask_all(RTM_GETROUTE, with_family(rtmsg(), family))
            if not message["flags"] & CLONED
        ]

    def _change(self, lay_out: Any, what: Route | Rule, *, make: bool) -> list[str]:
        kinds = {
            (Route, True): RTM_NEWROUTE,
            (Route, False): RTM_DELROUTE,
            (Rule, True): RTM_NEWRULE,
            (Rule, False): RTM_DELRULE,
        }
        flags = 0
        if make:
            flags = NLM_F_CREATE | (NLM_F_REPLACE if isinstance(what, Route) else NLM_F_EXCL)
        try:
            message = lay_out(what, self._tag)
            self._kernel.change(kinds[type(what), make], message, flags)
        except OSError as error:
            if error.errno in (ALREADY if make else GONE):
                return []
            doing = "make" if make else "remove"
            return [f"cannot {doing} {what}: {error.strerror}"]
        return []

    def close(self) -> None:
        """Close the socket to the kernel; twice is harmless."""
        self._kernel.close()
