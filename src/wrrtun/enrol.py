"""Make a server, invite clients to it, send them away; make a client of an invitation.

Files only: what is here runs as a command, beside the daemon, which reads them again when told.
Tunnel addresses: each client has a device and so a network of its own, cut out of the server's
`network`: a /30 of IPv4, a /64 of IPv6, the server's end first.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import Final

from .config import DEFAULT_DEVICE, IPInterface, IPNetwork, ServerConfig
from .config_edit import (
    Value,
    add_peer,
    locked,
    remove_peer,
    replace_file,
    to_toml,
    write_new,
    write_new_key,
)
from .config_file import read_text
from .core.errors import ConfigError
from .invitation import SECRET_BYTES, Invitation
from .keys import encode_key, generate_key, public_key_of, read_key_file
from .load import load_client, load_server
from .options import parse_peer_name, parse_server

CLIENT_PREFIXES: Final = {4: 30, 6: 64}
NETWORK_ATTEMPTS: Final = 1000

Random = Callable[[int], bytes]


@dataclass(frozen=True)
class NewServer:
    """What `init` is told."""

    listen: str
    public: str
    networks: tuple[IPNetwork, ...]
    nat: bool


def pick_networks(
    taken: Sequence[IPNetwork], random: Random, *, ipv6: bool
) -> tuple[IPNetwork, ...]:
    """Draw tunnel networks that this machine does not know: of 10.0.0.0/8, and of fd00::/8.

    Drawn, so that neither two servers nor a home network have the same by accident (RFC 4193).
    """
    for _attempt in range(NETWORK_ATTEMPTS):
        two = random(2)
        network: IPNetwork = IPv4Network((bytes([10, two[0], two[1] & 0xF0, 0]), 20))
        if not any(other.version == 4 and network.overlaps(other) for other in taken):
            break
    else:
        raise ConfigError("no network of 10.0.0.0/8 is free; write one into the file by hand")
    if not ipv6:
        return (network,)
    return (network, IPv6Network((b"\xfd" + random(5) + bytes(10), 48)))


def init(path: Path, new: NewServer) -> str:
    """Write a server's file and its key beside it; return its public key."""
    parse_server(new.public)
    with locked(path):
        if path.exists():
            raise ConfigError(f"{path} exists; it is never overwritten")
        key_file = path.with_suffix(".key")
        if not key_file.exists():
            write_new_key(key_file, generate_key())
        private_key = read_key_file(key_file)
        values: dict[str, Value] = {
            "listen": int(new.listen) if new.listen.isdecimal() else new.listen,
            "key_file": key_file.name,
            "public": new.public,
            "network": [str(network) for network in new.networks],
            "nat": new.nat,
        }
        write_new(path, "# Clients are added by: wrrtun server invite NAME\n" + to_toml(values))
        with _undoing(path):
            load_server(path, {})
    return encode_key(public_key_of(private_key))


def invite(
    path: Path, name: str, random: Random, public_key: str | None, route: Sequence[str]
) -> Invitation:
    """Add a peer to a server's file; return what its client is told.

    With the client's own `public_key` the invitation holds none.
    """
    parse_peer_name(name)
    with locked(path):
        config = load_server(path, {})
        if any(peer.name == name for peer in config.peers):
            raise ConfigError(f"{name} is known already; wrrtun server revoke {name} first")
        if config.public is None or not config.networks:
            missing = "public" if config.public is None else "network"
            raise ConfigError(f"{path} has no {missing}, which invitations need")
        ends = [_free(network, config) for network in config.networks]
        host, port = config.public
        invitation = Invitation(
            host=host,
            port=port,
            server_key=public_key_of(config.private_key),
            secret=random(SECRET_BYTES),
            addresses=tuple(client for _server, client in ends),
            own_key=public_key is not None,
        )
        psk_file = path.with_name(f"{name}.psk")
        write_new_key(psk_file, encode_key(invitation.psk))
        with _undoing(psk_file):
            peer: dict[str, Value] = {
                "name": name,
                "public_key": public_key or encode_key(public_key_of(invitation.client_key)),
                "psk_file": psk_file.name,
                "dev": _free_device(config),
                "address": [str(server) for server, _client in ends],
            }
            if route:
                peer["route"] = list(route)
            before = read_text(path, may_be_missing=False) or ""
            add_peer(path, peer)
            try:
                load_server(path, {})
            except ConfigError:
                replace_file(path, before)
                raise
    return invitation


def revoke(path: Path, name: str) -> None:
    """Take a peer out of a server's file, with the pre-shared key that was made for it."""
    with locked(path):
        remove_peer(path, name)
        path.with_name(f"{name}.psk").unlink(missing_ok=True)


def join(
    path: Path,
    invitation: Invitation,
    links: Sequence[str],
    more: dict[str, Value],
    key_file: Path | None,
) -> None:
    """Write a client's file and its keys beside it."""
    if invitation.own_key and key_file is None:
        raise ConfigError("this invitation is for a key of your own: name its file by --key-file")
    with locked(path), contextlib.ExitStack() as undo:
        if path.exists():
            raise ConfigError(f"{path} exists; move it away to join anew")
        if key_file is None:
            key_file = path.with_suffix(".key")
            write_new_key(key_file, encode_key(invitation.client_key))
            undo.enter_context(_undoing(key_file))
        psk_file = path.with_suffix(".psk")
        write_new_key(psk_file, encode_key(invitation.psk))
        undo.enter_context(_undoing(psk_file))
        host = f"[{invitation.host}]" if ":" in invitation.host else invitation.host
        values: dict[str, Value] = {
            "server": f"{host}:{invitation.port}",
            "server_key": encode_key(invitation.server_key),
            "key_file": key_file.name if key_file.parent == path.parent else str(key_file),
            "psk_file": psk_file.name,
            "address": [str(address) for address in invitation.addresses],
            "link": list(links),
            **more,
        }
        write_new(path, to_toml(values))
        undo.enter_context(_undoing(path))
        load_client(path, {})


@contextlib.contextmanager
def _undoing(path: Path) -> Iterator[None]:
    """Remove a file that was just made if what follows fails."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _free_device(config: ServerConfig) -> str:
    """Name a device for a client, to stay its own whoever else comes and goes."""
    taken = {peer.device for peer in config.peers}
    names = (f"{DEFAULT_DEVICE.rstrip('0')}{number}" for number in itertools.count())
    return next(name for name in names if name not in taken)


def _free(network: IPNetwork, config: ServerConfig) -> tuple[IPInterface, IPInterface]:
    """Cut the first free piece out of a network; return the server's and the client's address."""
    taken = [
        address.network
        for peer in config.peers
        for address in peer.addresses
        if address.version == network.version
    ]
    prefix = CLIENT_PREFIXES[network.version]
    if network.prefixlen > prefix:
        raise ConfigError(f"the network {network} is too small; a client needs a /{prefix} of it")
    for piece in network.subnets(new_prefix=prefix):
        if not any(piece.overlaps(ip_network(other)) for other in taken):
            return ip_interface(f"{piece[1]}/{prefix}"), ip_interface(f"{piece[2]}/{prefix}")
    raise ConfigError(f"the network {network} has no room for another client")
