"""Checks of a client's lines on this machine: devices, gateways, filters, addresses, routes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wrrtun.config import ClientConfig, IPAddress, LinkConfig
from wrrtun.linux import inspect
from wrrtun.linux.inspect import Place
from wrrtun.linux.netlink import LinkInfo, Netlink
from wrrtun.linux.routes import Default, Routes
from wrrtun.routing import CLIENT_TAG, MARK

from .finding import Finding, Level, bad


@dataclass(frozen=True)
class Line:
    """A link as the machine has it now."""

    config: LinkConfig
    info: LinkInfo
    place: Place
    server: IPAddress
    gateway: IPAddress | None

    @property
    def where(self) -> str:
        """What the configuration calls it."""
        return self.config.where


def find_lines(
    config: ClientConfig, servers: Sequence[IPAddress]
) -> tuple[list[Line], list[Finding]]:
    """Look the links up; a finding for each that is not there or leads nowhere."""
    lines, findings = [], []
    with Netlink() as netlink, Routes(CLIENT_TAG) as routes:
        defaults = routes.defaults()
        for link in config.links:
            if link.address is not None:
                info = netlink.find_address(link.address)
            else:
                info = netlink.find_link(link.device or "")
            if info is None:
                findings.append(
                    bad(f"{link.where}: there is no such interface or address", _see_links())
                )
            elif not (info.up and info.carrier):
                what = "is down" if not info.up else "has no carrier"
                advice = f"ip link set {info.name} up; look at the cable or the modem"
                findings.append(bad(f"{link.where}: {info.name} {what}", advice))
            else:
                line = _line(config, link, info, servers, defaults)
                if isinstance(line, Line):
                    lines.append(line)
                else:
                    findings.append(line)
    return lines, findings


def _line(
    config: ClientConfig,
    link: LinkConfig,
    info: LinkInfo,
    servers: Sequence[IPAddress],
    defaults: Sequence[Default],
) -> Line | Finding:
    own = [link.address] if link.address else [address.ip for address in info.addresses]
    versions = {address.version for address in own if not address.is_link_local}
    server = next((one for one in servers if one.version in versions), None)
    if server is None:
        return bad(
            f"{link.where}: {info.name} has no address to reach the server from",
            f"look at DHCP on {info.name}: ip addr show dev {info.name}",
        )
    there = [one for one in defaults if (one.device, one.version) == (info.name, server.version)]
    gateway = config.gateways.get(link.where) or (there[0].gateway if there else None)
    mark = MARK if config.routing.networks else 0
    by_address = link.address is not None or ":" in (link.device or "")
    source = own[0] if by_address else None
    device = None if by_address else info.name
    return Line(link, info, Place(device, source, mark), server, gateway)


def check_gateways(lines: Sequence[Line]) -> Iterator[Finding]:
    """Does each line have a way out, and does the gateway live? To be asked after packets went."""
    with Routes(CLIENT_TAG) as routes:
        devices = {default.device for default in routes.defaults()}
    for line in lines:
        name = line.info.name
        if line.gateway is not None and inspect.is_silent_neighbour(name, line.gateway):
            yield bad(
                f"{line.where}: the gateway {line.gateway} does not answer on {name}",
                "it is the wrong address, or the modem is off: ip route show default",
            )
        elif line.gateway is None and name not in devices:
            yield bad(
                f"{line.where}: there is no default route over {name}",
                f"ip route add default via GATEWAY dev {name} metric 200 (RUNNING.md says how to "
                "keep it)",
            )


def check_filters(config: ClientConfig, lines: Sequence[Line]) -> Iterator[Finding]:
    """Does the reverse path filter let answers in on lines that are not the best route?"""
    if config.routing.networks:
        return  # each line then has rules of its own, which satisfy the filter
    everywhere = int(inspect.setting("ipv4/conf/all/rp_filter") or 0)
    for line in lines:
        name = line.info.name
        strict = max(everywhere, int(inspect.setting(f"ipv4/conf/{name}/rp_filter") or 0)) == 1
        if strict and line.server.version == 4 and inspect.device_towards(line.server) != name:
            yield bad(
                f"{line.where}: rp_filter is strict, so answers that come in on {name} are dropped",
                f"sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{name}.rp_filter=2",
            )


def check_loop(config: ClientConfig, lines: Sequence[Line]) -> Iterator[Finding]:
    """Does the way to the server lead into the tunnel itself?"""
    for server in dict.fromkeys(line.server for line in lines):
        through = inspect.device_towards(server, MARK if config.routing.networks else 0)
        if through == config.device:
            yield bad(
                f"the route to the server {server} leads into the tunnel ({config.device})",
                'take that route away, and let wrrtun make routes: route = "all"',
            )


def check_addresses(config: ClientConfig, lines: Sequence[Line]) -> Iterator[Finding]:
    """Is an address there twice?"""
    by_source: dict[IPAddress, str] = {}
    for line in lines:
        for address in (
            [line.place.source]
            if line.place.source
            else [one.ip for one in line.info.addresses if not one.ip.is_link_local]
        ):
            if address in by_source:
                yield bad(
                    f"{line.where} and {by_source[address]} have the same address {address}",
                    "give each line an address of its own, in a network of its own",
                )
            by_source[address] = line.where
    with Netlink() as netlink:
        for address in config.addresses:
            holder = netlink.find_address(address.ip)
            if holder is not None and holder.name != config.device:
                yield bad(
                    f"the tunnel's address {address.ip} is on {holder.name} too",
                    "choose another network for the tunnel, at both ends",
                )
        for line in lines:
            for own in line.info.addresses:
                if any(
                    own.network.overlaps(one.network)
                    for one in config.addresses
                    if one.version == own.version
                ):
                    yield bad(
                        f"the tunnel's network overlaps that of {line.where}, {own.network}",
                        "choose another network for the tunnel, at both ends",
                    )


def check_names(config: ClientConfig, lines: Sequence[Line]) -> Iterator[Finding]:
    """Are names looked up through the tunnel? A line's own network is not behind it."""
    if not any(network.prefixlen == 0 for network in config.routing.networks):
        return
    advice = (
        "use one that is reached through the tunnel, such as 9.9.9.9, in /etc/resolv.conf and in "
        "what DHCP tells the networks behind this machine"
    )
    for server in inspect.name_servers():
        for line in lines:
            if not any(server in own.network for own in line.info.addresses):
                continue
            if config.when_down == "block":
                what = f"the kill switch lets no question through to the name server {server}"
                yield bad(f"{line.where}: {what}", advice)
            else:
                what = f"the name server {server} is on this line, and answers nothing once it is"
                yield Finding(Level.ODD, f"{line.where}: {what} dead", advice)


def _see_links() -> str:
    return "correct `link`: ip -br addr shows what there is"
