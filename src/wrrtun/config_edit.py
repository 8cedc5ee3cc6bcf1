"""Change a configuration file without touching what its owner wrote in it.

A peer is put behind the last line, and taken out from its [[peer]] up to the next table. Each
change is parsed before it replaces the file: it must be the old content and that one peer more or
less, or nothing is changed.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .config_file import parse_toml, read_text
from .core.errors import ConfigError
from .keys import write_key_file

_HEADER: Final = re.compile(r"\s*\[\[?[^\[\]]+\]\]?\s*(?:#.*)?")
MODE: Final = 0o600

Value = str | int | bool | list[str]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one change at a time happen in the directory of `path`, which is made if need be."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"cannot use {path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_new(path: Path, text: str) -> None:
    """Create a file that only its owner reads; one that is there stays as it is."""
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists; it is never overwritten")
    replace_file(path, text)


def write_new_key(path: Path, key: str) -> None:
    """Create a key file beside a configuration, for whoever owns that."""
    write_key_file(path, key)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        _give_to_owner(descriptor, path.parent)
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, directory: Path) -> None:
    """Where root makes a file in the directory of a daemon's user, make it that user's."""
    if os.geteuid() == 0:
        owner = os.stat(directory)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def replace_file(path: Path, text: str) -> None:
    """Put a whole file in the place of another, with its mode and owner."""
    try:
        before = path.stat() if path.exists() else None
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, MODE if before is None else before.st_mode & 0o7777)
                if before is None:
                    _give_to_owner(descriptor, path.parent)
                elif os.geteuid() == 0:
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.rename(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def to_toml(values: Mapping[str, Value]) -> str:
    """Write keys and values, one a line."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if not value.isprintable() or '"' in value or "\\" in value:
        raise ConfigError(f"{value!r} cannot stand in a configuration file")
    return f'"{value}"'


def add_peer(path: Path, peer: Mapping[str, Value]) -> None:
    """Put a [[peer]] behind what the file holds."""
    text = read_text(path, may_be_missing=False) or ""
    added = text + ("" if text.endswith("\n") else "\n") + "\n[[peer]]\n" + to_toml(peer)
    wanted = parse_toml(path, text)
    wanted["peer"] = [*_peers(path, wanted), dict(peer)]
    _replace_checked(path, added, wanted)


def remove_peer(path: Path, name: str) -> None:
    """Take the [[peer]] of that name out."""
    text = read_text(path, may_be_missing=False) or ""
    wanted = parse_toml(path, text)
    peers = _peers(path, wanted)
    index = next((i for i, peer in enumerate(peers) if peer.get("name") == name), None)
    if index is None:
        known = ", ".join(str(peer.get("name")) for peer in peers) or "none"
        raise ConfigError(f"{path} has no peer {name}; there are: {known}")
    del peers[index]
    wanted["peer"] = peers
    if not peers:
        del wanted["peer"]
    _replace_checked(path, _without(text, index), wanted)


def _peers(path: Path, values: Mapping[str, Any]) -> list[Any]:
    peers = values.get("peer", [])
    if not isinstance(peers, list) or not all(isinstance(peer, dict) for peer in peers):
        raise ConfigError(f"{path}: peer is not one or more tables: [[peer]]")
    return list(peers)


def _without(text: str, index: int) -> str:
    """Leave out the lines of the `index`th [[peer]], and the blank ones before it."""
    lines = text.splitlines(keepends=True)
    seen = -1
    kept: list[str] = []
    inside = False
    for line in lines:
        if _HEADER.fullmatch(line.rstrip("\r\n")):
            peer = line.replace(" ", "").startswith("[[peer]]")
            seen += peer
            inside = peer and seen == index
            if inside:
                while kept and not kept[-1].strip():
                    kept.pop()
        if not inside:
            kept.append(line)
    return "".join(kept)


def _replace_checked(path: Path, text: str, wanted: Mapping[str, Any]) -> None:
    if parse_toml(path, text) != wanted:
        raise ConfigError(
            f"{path} is written in a way that cannot be changed safely; edit its [[peer]] by hand"
        )
    replace_file(path, text)
