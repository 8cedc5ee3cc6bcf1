"""What a running daemon takes over from a configuration that was read again. Plain values only."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final

from .config import ClientConfig, LinkConfig, PeerConfig, ServerConfig
from .core.errors import ConfigError

# What can change while a daemon runs. All else is in the keys, the device or the sockets.
CLIENT_RELOADS: Final = {"links", "copies", "routing", "when_down", "nat", "gateways"}
SERVER_RELOADS: Final = {"peers", "nat", "public", "networks"}
NAMES: Final = {
    "server_host": "server",
    "server_port": "server",
    "server_public_key": "server_key",
    "private_key": "key_file",
    "psk": "psk_file",
    "device": "dev",
    "addresses": "address",
    "listen_address": "listen",
    "listen_port": "listen",
    "control_socket": "socket",
    "watch": "web, log_format, state_dir or hooks",
}


def refuse_restart(before: ClientConfig | ServerConfig, after: ClientConfig | ServerConfig) -> None:
    """Raise ConfigError when something has changed that only a restart can apply."""
    may = CLIENT_RELOADS if isinstance(after, ClientConfig) else SERVER_RELOADS
    changed = [
        NAMES.get(field.name, field.name)
        for field in fields(after)
        if field.name not in may and getattr(before, field.name) != getattr(after, field.name)
    ]
    if changed:
        raise ConfigError(f"{', '.join(dict.fromkeys(changed))} changed, which needs a restart")


def renumber(
    before: Mapping[int, LinkConfig], wanted: Sequence[LinkConfig]
) -> dict[int, LinkConfig]:
    """Number links: what is at the same place keeps its number, and with it its state."""
    numbers = {link.where: number for number, link in before.items()}
    kept = {numbers[link.where]: link for link in wanted if link.where in numbers}
    free = (number for number in itertools.count() if number not in kept)
    return kept | {next(free): link for link in wanted if link.where not in numbers}


def compare_peers(
    before: Iterable[PeerConfig], after: Iterable[PeerConfig]
) -> tuple[list[PeerConfig], list[PeerConfig]]:
    """Return the peers to take out and those to take in; one that has changed is in both.

    Only its routes may change without that.
    """
    old = {peer.name: peer for peer in before}
    new = {peer.name: peer for peer in after}
    same = {
        name
        for name in old.keys() & new.keys()
        if replace(old[name], routing=new[name].routing) == new[name]
    }
    return (
        [peer for name, peer in old.items() if name not in same],
        [peer for name, peer in new.items() if name not in same],
    )
