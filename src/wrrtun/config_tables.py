"""The tables of the configuration files, with the types of their keys (described in config_keys).

Nothing here is a default that means something: that a key was left out must show.
"""

from typing import Any

import msgspec

from .config import (
    DEFAULT_CIPHER,
    DEFAULT_LOG_FORMAT,
    DEFAULT_REKEY_SECONDS,
    DEFAULT_WHEN_DOWN,
    Cipher,
    LogFormat,
    WhenDown,
)

Texts = str | list[str]


class LimitsTable(msgspec.Struct):
    """[limits] in either file."""

    rekey_seconds: float = DEFAULT_REKEY_SECONDS


class HooksTable(msgspec.Struct):
    """[hooks] in either file."""

    on_up: Texts = []
    on_down: Texts = []
    on_link_up: Texts = []
    on_link_down: Texts = []
    on_link_address: Texts = []


class PeerTable(msgspec.Struct):
    """One [[peer]] of the server's file, or one --peer."""

    name: str | None = None
    public_key: str | None = None
    psk_file: str | None = None
    dev: str | None = None
    address: Texts = []
    route: Texts = []
    via: Texts = []
    bridge: str | None = None
    mtu: int | None = None


class ServerTable(msgspec.Struct):
    """The server's file; `peer` is read table by table."""

    listen: str | int | None = None
    key_file: str | None = None
    nat: bool = False
    public: str | None = None
    network: Texts = []
    socket: str | None = None
    web: str | int | None = None
    log_format: LogFormat = DEFAULT_LOG_FORMAT
    state_dir: str | None = None
    hooks: dict[str, Any] = {}
    peer: list[Any] = []
    limits: dict[str, Any] = {}


class ClientTable(msgspec.Struct):
    """The client's file."""

    server: str | None = None
    server_key: str | None = None
    key_file: str | None = None
    psk_file: str | None = None
    link: Texts = []
    redundant: bool = False
    copies: int | None = None
    dev: str | None = None
    address: Texts = []
    route: Texts = []
    via: Texts = []
    when_down: WhenDown = DEFAULT_WHEN_DOWN
    nat: bool = False
    gateways: dict[str, str] = {}
    bridge: str | None = None
    mtu: int | None = None
    cipher: Cipher = DEFAULT_CIPHER
    socket: str | None = None
    web: str | int | None = None
    log_format: LogFormat = DEFAULT_LOG_FORMAT
    state_dir: str | None = None
    hooks: dict[str, Any] = {}
    limits: dict[str, Any] = {}
