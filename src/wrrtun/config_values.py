"""Read the values of a configuration that need more than their type: one function each."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from .config import (
    DEFAULT_WEB_ADDRESS,
    MAX_MTU,
    MAX_REKEY_SECONDS,
    MAX_SOCKET_PATH_BYTES,
    MIN_IPV6_MTU,
    MIN_MTU,
    MIN_REKEY_SECONDS,
    IPAddress,
    IPInterface,
    IPNetwork,
    Limits,
    LinkConfig,
    RoutingConfig,
    WatchConfig,
)
from .config_file import Source, not_allowed, read_table, unknown
from .config_keys import TABLES
from .config_tables import ClientTable, HooksTable, LimitsTable, ServerTable, Texts
from .core.errors import ConfigError
from .options import (
    parse_device,
    parse_interface_address,
    parse_listen,
    parse_network,
    quoted,
)

ALL = ("0.0.0.0/0", "::/0")


def as_list(texts: Texts) -> list[str]:
    """Take one text for a list of one."""
    return [texts] if isinstance(texts, str) else texts


def read_limits(values: dict[str, Any], source: Source) -> Limits:
    """Read [limits]."""
    inner = replace(source, options={}, keys="limits", table="limits", part="[limits] ")
    table = read_table(LimitsTable, values, inner)
    if not MIN_REKEY_SECONDS <= table.rekey_seconds <= MAX_REKEY_SECONDS:
        raise not_allowed("rekey_seconds", table.rekey_seconds, inner)
    return Limits(table.rekey_seconds)


def read_socket(value: str | None, default: Path, source: Source) -> Path:
    """Read where the control socket goes."""
    path = default if value is None else source.file_name("socket", value)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES or "\0" in str(path) or value == "":
        raise ConfigError(
            f"{source.name('socket')}: {quoted(str(path))} is not the name of a socket; "
            f"it has 1 to {MAX_SOCKET_PATH_BYTES} bytes"
        )
    return path


def read_mtu(mtu: int | None, addresses: tuple[IPInterface, ...], source: Source) -> int | None:
    """Check an MTU against what Ethernet, a datagram and the device's addresses bear."""
    if mtu is None:
        return None
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise not_allowed("mtu", mtu, source)
    if mtu < MIN_IPV6_MTU and any(address.version == 6 for address in addresses):
        raise ConfigError(
            f"{source.name('mtu')}: {mtu} is too small for the IPv6 address of the device, "
            f"which needs {MIN_IPV6_MTU} at least"
        )
    return mtu


def read_addresses(texts: Texts, source: Source) -> tuple[IPInterface, ...]:
    """Read a device's addresses, each at most once."""
    with source.naming("address"):
        addresses = tuple(parse_interface_address(text) for text in as_list(texts))
        for index, address in enumerate(addresses):
            if address in addresses[:index]:
                raise ConfigError(f"{quoted(str(address))} is given twice; once is enough")
    return addresses


def read_bridge(bridge: str | None, device: str, source: Source) -> str | None:
    """Read the bridge that the device joins."""
    if bridge is None:
        return None
    with source.naming("bridge"):
        if parse_device(bridge) == device:
            raise ConfigError(f"{quoted(bridge)} is the tunnel's own device; name another one")
    return bridge


def read_networks(key: str, texts: Texts, source: Source) -> tuple[IPNetwork, ...]:
    """Read networks, each at most once."""
    with source.naming(key):
        networks = tuple(parse_network(text) for text in as_list(texts))
        for index, network in enumerate(networks):
            if network in networks[:index]:
                raise ConfigError(f"{quoted(str(network))} is given twice; once is enough")
    return networks


def read_routing(
    route: Texts,
    via: Texts,
    addresses: tuple[IPInterface, ...],
    bridge: str | None,
    source: Source,
) -> RoutingConfig:
    """Read what goes into the tunnel, and through which addresses.

    "all" means every family that the device has an address of.
    """
    versions = {address.version for address in addresses}
    texts = as_list(route)
    if "all" in texts:
        if len(texts) > 1:
            raise ConfigError(f'{source.name("route")}: with "all", nothing else is needed')
        networks = tuple(ip_network(text) for text in ALL)
        networks = tuple(network for network in networks if network.version in versions)
    else:
        networks = read_networks("route", texts, source)
    if texts and not addresses:
        raise ConfigError(
            f"{source.name('route')}: routes need an address of this end in the tunnel; "
            "give it with address"
        )
    if texts and bridge is not None:
        raise ConfigError(
            f"{source.name('route')}: a port of a bridge has no routes; leave out route or bridge"
        )
    gateways = {address.version: address for address in _read_via(via, addresses, source)}
    for network in networks:
        if network.version not in versions:
            raise ConfigError(
                f"{source.name('route')}: {network} needs an IPv{network.version} address of this "
                "end in the tunnel; give it with address"
            )
        if network.version not in gateways:
            gateways[network.version] = _other_end(addresses, network.version, source)
    return RoutingConfig(networks, tuple(gateways.values()))


def _read_via(
    texts: Texts, addresses: tuple[IPInterface, ...], source: Source
) -> tuple[IPAddress, ...]:
    with source.naming("via"):
        found = tuple(_read_address(text) for text in as_list(texts))
        for version in (4, 6):
            if sum(address.version == version for address in found) > 1:
                raise ConfigError(f"one address for IPv{version} is enough")
        for address in found:
            if not any(address in own.network and address != own.ip for own in addresses):
                raise ConfigError(
                    f"{quoted(str(address))} is not another machine's address in the network of "
                    "the tunnel's device"
                )
    return found


def _read_address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise ConfigError(f"{quoted(text)} is not an address, such as 10.9.0.1") from None


def _other_end(addresses: tuple[IPInterface, ...], version: int, source: Source) -> IPAddress:
    own = next(address for address in addresses if address.version == version)
    # hosts() leaves out the network's own address, but not of the two of a /31 or /127 (RFC 3021)
    for host in own.network.hosts():
        if host != own.ip:
            return host
    raise ConfigError(f"{source.name('via')} is missing: {own} has no other end in its network")


def read_gateways(
    values: Mapping[str, str], links: tuple[LinkConfig, ...], source: Source
) -> dict[str, IPAddress]:
    """Read [gateways]: which line has which gateway."""
    inner = replace(source, options={}, table="gateways", part="[gateways] ")
    known = {link.where for link in links}
    gateways = {}
    for where, text in values.items():
        if any(where == key.name for key in TABLES["client"]):
            raise ConfigError(f"{inner.place(where)}: [gateways] {unknown(where, inner)}")
        if where not in known:
            raise ConfigError(
                f"{inner.place(where)}: [gateways] {quoted(where)} is no link; there are "
                f"{', '.join(sorted(known))}"
            )
        try:
            gateways[where] = ip_address(text)
        except ValueError:
            raise ConfigError(
                f"{inner.place(where)}: [gateways] {where}: {quoted(text)} is not an address, "
                "such as 192.168.2.1"
            ) from None
    return gateways


def read_watch(table: ClientTable | ServerTable, source: Source) -> WatchConfig:
    """Read how the daemon is watched."""
    web = None
    if table.web is not None:
        with source.naming("web"):
            address, port = parse_listen(str(table.web))
        web = (address or DEFAULT_WEB_ADDRESS, port)
    directory = table.state_dir or os.environ.get("STATE_DIRECTORY")
    if table.state_dir is not None:
        if not table.state_dir or "\0" in table.state_dir:
            raise not_allowed("state_dir", table.state_dir, source)
        directory = str(source.file_name("state_dir", table.state_dir))
    return WatchConfig(
        web=web,
        log_format=table.log_format,
        hooks=_read_hooks(table.hooks, source),
        state_directory=Path(directory) if directory else None,
    )


def _read_hooks(values: dict[str, Any], source: Source) -> dict[str, tuple[str, ...]]:
    """Read [hooks]: text is taken apart as a shell would, but no shell runs it."""
    inner = replace(source, options={}, keys="hooks", table="hooks", part="[hooks] ")
    read_table(HooksTable, values, inner)
    hooks = {}
    for key, value in values.items():
        try:
            words = tuple(shlex.split(value) if isinstance(value, str) else value)
        except ValueError:  # a quote that is never closed
            raise not_allowed(key, value, inner) from None
        if not words or not words[0] or any("\0" in word for word in words):
            raise not_allowed(key, value, inner)
        hooks[key] = words
    return hooks
