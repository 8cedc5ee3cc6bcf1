"""The options of the command line, made from the keys of the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .config import Role, default_config_path
from .config_key import Key
from .config_keys import PEER_KEYS, PEER_OPTIONS, TABLES, key_of, plain

Command = TypeVar("Command", bound=Callable[..., Any])

SERVER_NOTES = {
    "dev": " Several peers get names counted up from it.",
    "address": " With several peers: the first one's.",
}


def end_options(role: Role) -> Callable[[Command], Command]:
    """Give the command of an end an option for each key that may be one."""
    keys = [key for key in TABLES[role] if key.metavar is not None or key.flag]
    if role == "server":
        names = {key.name for key in PEER_KEYS} & set(PEER_OPTIONS)
        keys += [key_of("peer", name) for name in PEER_OPTIONS if name in names]
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML file with the same names, - written _; options win over it. "
        f"[default: {default_config_path(role)}, if it exists]",
    )
    options = [config, *(_option(key, role) for key in keys)]

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _option(key: Key, role: Role) -> Callable[[Any], Any]:
    note = SERVER_NOTES.get(key.name, "") if role == "server" else ""
    default = f"  [default: {key.default}]" if key.default else ""
    text = plain(key.text + note + default)
    if key.flag:
        return click.option(f"{key.option}/--no-{key.name}", default=None, help=text)
    kind: click.ParamType[Any] | None = None
    if key.choices:
        kind = click.Choice(key.choices)
    elif key.span:
        kind = click.IntRange(*key.span)
    return click.option(
        key.option, type=kind, multiple=key.repeated, metavar=key.metavar, help=text
    )


def given(options: dict[str, Any]) -> dict[str, object]:
    """Keep the options that the command line has; what may be repeated becomes a list."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in options.items()
        if value not in (None, ())
    }
