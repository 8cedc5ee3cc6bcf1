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
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .config import MAX_CONFIG_BYTES, Role, default_config_path
from .config_keys import TABLES, key_of
from .core.errors import ConfigError
from .options import quoted
from .toml_lines import line_of, mistake

Table = TypeVar("Table", bound=msgspec.Struct)


@dataclass(frozen=True)
class Source:
    """Where the values came from: their names in messages, and what file names are relative to."""

    path: Path
    text: str | None  # of the file; None: there is none
    options: Mapping[str, object]
    keys: str  # whose keys they are: a table of config_keys.TABLES
    table: str = ""  # the table's name in the file
    index: int = 0  # of the tables with that name
    part: str = ""  # "[limits] ", "peer 2: "

    def name(self, key: str) -> str:
        """Name a value as its writer would."""
        if key in self.options:
            return f"--{key.replace('_', '-')}"
        return f"{self.place(key)}: {self.part}{key}"

    def place(self, key: str | None) -> str:
        """Name the file and the line of a key, or of the table (None)."""
        line = line_of(self.text or "", key, self.table, self.index)
        return f"{self.path}:{line}" if line else str(self.path)

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
            return ConfigError(f"{self.place(None)}: {self.part}{key} is missing")
        known = "" if self.text is not None else f" (there is no such file{_maker(self.path)})"
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
    content = read_text(file, may_be_missing=path is None)
    source = Source(file, content, options, role)
    if content is None:
        return dict(options), source
    return parse_toml(file, content) | dict(options), source


def role_of(path: Path) -> Role:
    """Tell whose file it is: by its name, or else a server's listens or has peers."""
    if path.stem == "client":
        return "client"
    if path.stem == "server":
        return "server"
    content = read_text(path, may_be_missing=False) or ""
    return "server" if {"listen", "peer"} & parse_toml(path, content).keys() else "client"


def parse_toml(path: Path, content: str) -> dict[str, Any]:
    """Parse a file's text; ConfigError with the line when it is no TOML."""
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        line, key, hint = mistake(content, str(error))
        is_known = any(key == known.name for keys in TABLES.values() for known in keys)
        shown = f"{key}: " if is_known else ""
        raise ConfigError(f"{path}:{line}: {shown}{hint}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None


def read_table(kind: type[Table], values: Mapping[str, object], source: Source) -> Table:
    """Check the keys and the types of one table; the values are read later, one by one."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in values:
        if key not in fields:
            raise ConfigError(f"{source.place(key)}: {source.part}{unknown(key, source)}")
    converted = {}
    for key, value in values.items():
        try:
            converted[key] = msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError:
            raise not_allowed(key, value, source) from None
    return kind(**converted)


def not_allowed(key: str, value: object, source: Source) -> ConfigError:
    """Say that a value is not what its key may hold."""
    described = key_of(source.keys, key)
    simple = isinstance(value, str | int | float) and not described.secret
    shown = quoted(value) if simple else "the value"
    return ConfigError(f"{source.name(key)}: {shown} is not {described.allowed}")


def read_text(path: Path, *, may_be_missing: bool) -> str | None:
    """Read a whole file; None when it may be missing and is."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if may_be_missing:
            return None
        raise ConfigError(f"{path} does not exist{_maker(path)}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from None


def _maker(path: Path) -> str:
    """Say how a file of one of the usual names comes into being."""
    makers = {"server": "wrrtun server init", "client": "wrrtun client join"}
    return f"; {makers[path.stem]} writes it" if path.stem in makers else ""


def unknown(key: str, source: Source) -> str:
    """Say that there is no such key in a table, and where it might belong."""
    said = f"{quoted(key)} is unknown; "
    own = [known.name for known in TABLES.get(source.keys, ())]
    tables = [name for name, keys in TABLES.items() if any(key == known.name for known in keys)]
    if source.table and {"client", "server"} & set(tables):
        return said + "it belongs above the first [table] of the file"
    if source.keys == "server" and "peer" in tables:
        return said + "it belongs below a [[peer]]"
    if tables and not source.table:
        if tables[0] in ("client", "server"):
            return said + f"it is a {tables[0]}'s, and this is a {source.keys}'s file"
        return said + f"it belongs below [{tables[0]}]"
    import difflib  # noqa: PLC0415 (at the top, a daemon would have it for good)

    nearest = difflib.get_close_matches(key, own, n=1, cutoff=0.5)
    return said + (
        f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(sorted(own))}"
    )
