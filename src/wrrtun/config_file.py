"""A TOML file and the command line together become one configuration; options win.

Both speak of the same keys: `--key-file` is `key_file`. A file:

    server = "vps.example.net:51820"          # client
    server_key = "..."
    link = ["eth0:10mbit/1mbit", "eth1:3"]
    dev = "wrr0"
    address = ["10.9.0.2/24"]
    key_file = "client.key"                   # from where this file lies

    listen = 51820                            # server
    key_file = "/etc/wrrtun/server.key"
    [[peer]]
    name = "home"
    public_key = "..."
    address = "10.9.0.1/24"

Every error is a ConfigError that names the file or the option, the key, and what is allowed.
"""

import contextlib
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from .config import (
    DEFAULT_CIPHER,
    DEFAULT_DEVICE,
    DEFAULT_REKEY_SECONDS,
    MAX_CONFIG_BYTES,
    MAX_MTU,
    MAX_REKEY_SECONDS,
    MAX_SOCKET_PATH_BYTES,
    MIN_IPV6_MTU,
    MIN_MTU,
    MIN_REKEY_SECONDS,
    Cipher,
    IPInterface,
    Limits,
    Role,
    default_config_path,
)
from .core.errors import ConfigError
from .options import parse_device, parse_interface_address, quoted

Texts = str | list[str]


class LimitsTable(msgspec.Struct):
    """[limits] in either file."""

    rekey_seconds: float = DEFAULT_REKEY_SECONDS


class PeerTable(msgspec.Struct):
    """One [[peer]] of the server's file, or one --peer."""

    name: str | None = None
    public_key: str | None = None
    psk_file: str | None = None
    dev: str | None = None
    address: Texts = []
    bridge: str | None = None
    mtu: int | None = None


class ServerTable(msgspec.Struct):
    """The server's file; `peer` is read table by table."""

    listen: str | int | None = None
    key_file: str | None = None
    socket: str | None = None
    peer: list[Any] = []
    limits: dict[str, Any] = {}


class ClientTable(msgspec.Struct):
    """The client's file."""

    server: str | None = None
    server_key: str | None = None
    key_file: str | None = None
    psk_file: str | None = None
    link: Texts = []
    dev: str = DEFAULT_DEVICE
    address: Texts = []
    bridge: str | None = None
    mtu: int | None = None
    cipher: Cipher = DEFAULT_CIPHER
    socket: str | None = None
    limits: dict[str, Any] = {}


# What a key may hold, for the sentence that says that it does not.
ALLOWED: Final = {
    "address": 'text such as "10.9.0.1/24", or a list of such texts',
    "cipher": '"auto", "aes-256-gcm" or "chacha20-poly1305"',
    "limits": "a table: [limits]",
    "link": 'text such as "eth0:10", or a list of such texts',
    "listen": 'a port such as 51820, or text such as "192.0.2.1:51820"',
    "mtu": f"a whole number from {MIN_MTU} to {MAX_MTU}",
    "peer": "one or more tables: [[peer]]",
    "rekey_seconds": f"a number from {MIN_REKEY_SECONDS:g} to {MAX_REKEY_SECONDS:g}",
}
ALLOWED_ELSE: Final = "text in quotes"
KEYS_NEVER_QUOTED: Final = {"key_file", "psk_file", "public_key", "server_key", "private_key"}

Table = TypeVar("Table", bound=msgspec.Struct)


@dataclass(frozen=True)
class Source:
    """Where the values came from: their names in messages, and what file names are relative to."""

    path: Path
    file_exists: bool
    options: Mapping[str, object]
    part: str = ""  # "[limits] ", "peer 2: "

    def name(self, key: str) -> str:
        """Name a value as its writer would."""
        if key in self.options:
            return f"--{key.replace('_', '-')}"
        return f"{self.path}: {self.part}{key}"

    @contextlib.contextmanager
    def naming(self, key: str) -> Iterator[None]:
        """Put the name of `key` before whatever ConfigError its reading ends in."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(f"{self.name(key)}: {error}") from None

    def missing(self, key: str) -> ConfigError:
        """Say that a value is needed, and where it may be written."""
        if self.part:
            return ConfigError(f"{self.path}: {self.part}{key} is missing")
        known = "" if self.file_exists else " (there is no such file)"
        option = f"--{key.replace('_', '-')}"
        return ConfigError(f"{option} is missing, and no {key} is in {self.path}{known}")

    def file_name(self, key: str, value: str) -> Path:
        """Read a file name: relative to the configuration file if it stands there."""
        return Path(value) if key in self.options else self.path.parent / value


def read_source(
    role: Role, path: Path | None, options: Mapping[str, object]
) -> tuple[dict[str, Any], Source]:
    """Read the file (a default one need not exist) and lay the options over it."""
    file = default_config_path(role) if path is None else path
    content = _read_file(file, may_be_missing=path is None)
    source = Source(file, content is not None, options)
    if content is None:
        return dict(options), source
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply") from None
    return table | dict(options), source


def read_table(kind: type[Table], values: Mapping[str, object], source: Source) -> Table:
    """Check the keys and the types of one table; the values are read later, one by one."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in values:
        if key not in fields:
            raise ConfigError(f"{source.path}: {source.part}{_unknown(key, list(fields))}")
    converted = {}
    for key, value in values.items():
        try:
            converted[key] = msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError:
            raise not_allowed(key, value, source) from None
    return kind(**converted)


def not_allowed(key: str, value: object, source: Source) -> ConfigError:
    """Say that a value is not what its key may hold."""
    simple = isinstance(value, str | int | float) and key not in KEYS_NEVER_QUOTED
    shown = quoted(value) if simple else "the value"
    return ConfigError(f"{source.name(key)}: {shown} is not {ALLOWED.get(key, ALLOWED_ELSE)}")


def as_list(texts: Texts) -> list[str]:
    """Take one text for a list of one."""
    return [texts] if isinstance(texts, str) else texts


def read_limits(values: dict[str, Any], source: Source) -> Limits:
    """Read [limits]."""
    inner = Source(source.path, source.file_exists, {}, "[limits] ")
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
                raise ConfigError(f"{quoted(str(address))} is given twice")
    return addresses


def read_bridge(bridge: str | None, device: str, source: Source) -> str | None:
    """Read the bridge that the device joins."""
    if bridge is None:
        return None
    with source.naming("bridge"):
        if parse_device(bridge) == device:
            raise ConfigError(f"{quoted(bridge)} is the tunnel's own device")
    return bridge


def _read_file(path: Path, *, may_be_missing: bool) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if may_be_missing:
            return None
        raise ConfigError(f"{path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None


def _unknown(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(sorted(known))}"
    return f"{quoted(key)} is unknown; {hint}"
