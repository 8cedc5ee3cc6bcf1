"""Build the configuration of a client or a server, checking what its values mean together."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import (
    DEFAULT_DEVICE,
    DEFAULT_WHEN_DOWN,
    NO_PSK,
    ClientConfig,
    LinkConfig,
    PeerConfig,
    ServerConfig,
    default_control_socket,
)
from .config_file import Source, not_allowed, read_source, read_table
from .config_keys import PEER_OPTIONS
from .config_tables import ClientTable, PeerTable, ServerTable, Texts
from .config_values import (
    as_list,
    read_addresses,
    read_bridge,
    read_gateways,
    read_limits,
    read_mtu,
    read_networks,
    read_routing,
    read_socket,
    read_watch,
)
from .core.errors import ConfigError
from .core.wire import MAX_LINKS
from .keys import (
    encode_key,
    parse_public_key,
    public_key_of,
    read_key_file,
    refuse_key_as_name,
)
from .link_modes import parse_link_with_modes
from .options import (
    count_up,
    is_address,
    parse_device,
    parse_listen,
    parse_peer,
    parse_peer_name,
    parse_server,
    quoted,
)


def load_client(path: Path | None, options: Mapping[str, object]) -> ClientConfig:
    """Read what `wrrtun client` runs on; `options` holds the keys given on the command line."""
    values, source = read_source("client", path, options)
    table = read_table(ClientTable, values, source)
    server, server_key = table.server, table.server_key
    if server is None:
        raise source.missing("server")
    if server_key is None:
        raise source.missing("server_key")
    private_key = _read_private_key(table.key_file, source)
    with source.naming("server"):
        server_host, server_port = parse_server(server)
    with source.naming("server_key"):
        server_public_key = parse_public_key(server_key)
        if server_public_key == public_key_of(private_key):
            raise ConfigError("this is our own public key; the server's is needed")
    with source.naming("dev"):
        device = parse_device(DEFAULT_DEVICE if table.dev is None else table.dev)
    addresses = read_addresses(table.address, source)
    links = _read_links(table.link, device, source)
    bridge = read_bridge(table.bridge, device, source)
    if table.nat and not addresses:
        with source.naming("nat"):
            raise ConfigError("needs an address of this end to hide behind; give it with address")
    if table.when_down != DEFAULT_WHEN_DOWN and not as_list(table.route):
        with source.naming("when_down"):
            raise ConfigError(
                f"{quoted(table.when_down)} is about what goes through the tunnel; say what that "
                'is with route, such as route = "all"'
            )
    if table.when_down == "block" and not is_address(server_host):
        with source.naming("server"):
            raise ConfigError(
                f'{quoted(server_host)} must be an address where when_down is "block": a name '
                "would have to be asked for outside of the tunnel"
            )
    return ClientConfig(
        server_host=server_host,
        server_port=server_port,
        server_public_key=server_public_key,
        private_key=private_key,
        psk=_read_psk(table.psk_file, source),
        links=links,
        copies=_read_copies(table, source),
        device=device,
        addresses=addresses,
        bridge=bridge,
        mtu=read_mtu(table.mtu, addresses, source),
        cipher=table.cipher,
        control_socket=read_socket(table.socket, default_control_socket("client"), source),
        limits=read_limits(table.limits, source),
        watch=read_watch(table, source),
        routing=read_routing(table.route, table.via, addresses, bridge, source),
        when_down=table.when_down,
        nat=table.nat,
        gateways=read_gateways(table.gateways, links, source),
    )


def load_server(path: Path | None, options: Mapping[str, object]) -> ServerConfig:
    """Read what `wrrtun server` runs on; `options` holds the keys given on the command line."""
    own = {key: value for key, value in options.items() if key not in PEER_OPTIONS}
    values, source = read_source("server", path, own)
    table = read_table(ServerTable, values, source)
    if table.listen is None:
        raise source.missing("listen")
    private_key = _read_private_key(table.key_file, source)
    with source.naming("listen"):
        listen_address, listen_port = parse_listen(str(table.listen))
    with source.naming("public"):
        public = None if table.public is None else parse_server(table.public)
    return ServerConfig(
        listen_address=listen_address,
        listen_port=listen_port,
        private_key=private_key,
        peers=_read_peers(table.peer, options, private_key, source),
        control_socket=read_socket(table.socket, default_control_socket("server"), source),
        limits=read_limits(table.limits, source),
        watch=read_watch(table, source),
        nat=table.nat,
        public=public,
        networks=read_networks("network", table.network, source),
    )


def _read_private_key(value: str | None, source: Source) -> bytes:
    if value is None:
        raise source.missing("key_file")
    return _read_key("key_file", value, source)


def _read_psk(value: str | None, source: Source) -> bytes:
    return NO_PSK if value is None else _read_key("psk_file", value, source)


def _read_key(key: str, value: str, source: Source) -> bytes:
    with source.naming(key):
        refuse_key_as_name(value)  # before a directory is put before it
        return read_key_file(source.file_name(key, value))


def _read_copies(table: ClientTable, source: Source) -> int:
    if table.copies is None:
        return 2 if table.redundant else 1
    if not 1 <= table.copies <= MAX_LINKS:
        raise not_allowed("copies", table.copies, source)
    if table.redundant and table.copies == 1:
        with source.naming("copies"):
            raise ConfigError("1 is not redundant; leave one of the two out")
    return table.copies


def _read_links(texts: Texts, device: str, source: Source) -> tuple[LinkConfig, ...]:
    if not texts:
        raise source.missing("link")
    with source.naming("link"):
        links = tuple(parse_link_with_modes(text) for text in as_list(texts))
        if len(links) > MAX_LINKS:
            raise ConfigError(f"there are {len(links)} links; {MAX_LINKS} is the most")
        seen = set()
        for link in links:
            if link.where in seen:
                raise ConfigError(f"{quoted(link.where)} is given twice; once is enough")
            if link.device is not None and link.device.partition(":")[0] == device:
                raise ConfigError(
                    f"{quoted(link.where)} is the tunnel's own device; name another one"
                )
            seen.add(link.where)
    return links


def _read_peers(
    values: list[Any], options: Mapping[str, object], private_key: bytes, source: Source
) -> tuple[PeerConfig, ...]:
    """Read [[peer]] or --peer. Options on devices hold for all of them, --address for the first.

    A file may have none yet: a running server takes peers in.
    """
    if not values and (source.text is None or "peer" in source.options):
        raise source.missing("peer")
    tables, sources = [], []
    for index, value in enumerate(values):
        overrides = {
            key: options[key]
            for key in options.keys() & PEER_OPTIONS
            if index == 0 or key != "address"
        }
        part = f"peer {index + 1}: "
        inner = replace(
            source, options=overrides, keys="peer", table="peer", index=index, part=part
        )
        tables.append(read_table(PeerTable, _peer_keys(value, source) | overrides, inner))
        sources.append(inner)
    with (sources[0] if sources else source).naming("dev"):
        devices = _device_names(tables, options.get("dev"))
    peers: list[PeerConfig] = []
    for table, inner, device in zip(tables, sources, devices, strict=True):
        peer = _read_peer(table, device, inner)
        key, said = _trouble(peer, peers, public_key_of(private_key))
        if said:
            with source.naming("peer") if "peer" in source.options else inner.naming(key):
                raise ConfigError(said)
        peers.append(peer)
    return tuple(peers)


def _peer_keys(value: object, source: Source) -> dict[str, Any]:
    """Take a [[peer]] as it is, and a --peer apart."""
    if isinstance(value, dict):
        return value
    if "peer" not in source.options:
        raise not_allowed("peer", value, source)
    with source.naming("peer"):
        name, key = parse_peer(str(value))
    return {"name": name, "public_key": encode_key(key)}


def _device_names(tables: list[PeerTable], first: object) -> list[str]:
    """Count up from the first one, or fill the gaps in what the file names."""
    if first is not None:
        return count_up(str(first), len(tables))
    taken = {table.dev for table in tables}
    free = (name for name in count_up(DEFAULT_DEVICE, 2 * len(tables)) if name not in taken)
    return [next(free) if table.dev is None else table.dev for table in tables]


def _read_peer(table: PeerTable, device: str, source: Source) -> PeerConfig:
    if table.name is None:
        raise source.missing("name")
    if table.public_key is None:
        raise source.missing("public_key")
    with source.naming("name"):
        parse_peer_name(table.name)
    with source.naming("public_key"):
        public_key = parse_public_key(table.public_key)
    with source.naming("dev"):
        parse_device(device)
    addresses = read_addresses(table.address, source)
    bridge = read_bridge(table.bridge, device, source)
    return PeerConfig(
        name=table.name,
        public_key=public_key,
        psk=_read_psk(table.psk_file, source),
        device=device,
        addresses=addresses,
        bridge=bridge,
        mtu=read_mtu(table.mtu, addresses, source),
        routing=read_routing(table.route, table.via, addresses, bridge, source),
    )


def _trouble(peer: PeerConfig, others: list[PeerConfig], own_key: bytes) -> tuple[str, str]:
    """Say what keeps a peer from living beside the others, with the key; "" when nothing does."""
    if peer.public_key == own_key:
        return "public_key", f"peer {peer.name} has our own public key; its own is needed"
    for other in others:
        both = f"peers {other.name} and {peer.name}"
        if peer.name == other.name:
            return "name", f"two peers are named {peer.name}; give each a name of its own"
        if peer.public_key == other.public_key:
            return (
                "public_key",
                f"{both} have the same public key; each client has a key of its own",
            )
        if peer.device == other.device:
            return "dev", f"{both} both want {peer.device}; leave it out, or give each its own"
        for address, theirs in itertools.product(peer.addresses, other.addresses):
            if address.version == theirs.version and address.network.overlaps(theirs.network):
                return "address", (
                    f"{both} have devices of their own, but {theirs} and {address} are one "
                    "network; give each peer another one"
                )
        for network in set(peer.routing.networks) & set(other.routing.networks):
            return "route", f"{both} both have {network}; it can lie behind one of them only"
    return "", ""
