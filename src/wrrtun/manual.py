"""The man pages, made from the commands and the keys: wrrtun(8) and wrrtun.toml(5).

python -m wrrtun.manual DIRECTORY     writes man8/wrrtun.8 and man5/wrrtun.toml.5 into it

They are made when wrrtun is installed, so they always describe the version that is there.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from . import __version__
from .cli import main
from .config_key import Key
from .config_keys import PEER_OPTIONS, TABLES
from .reference import FILE_WORDS, HEADINGS

MACROS: Final = 'man page in the "man" macros; made by python -m wrrtun.manual'

FILES: Final = (
    ("/etc/wrrtun/client.toml", "The client's configuration: wrrtun.toml(5)."),
    ("/etc/wrrtun/server.toml", "The server's configuration: wrrtun.toml(5)."),
    ("/run/wrrtun/", "The control sockets of the daemons that run."),
    ("/var/lib/wrrtun/", "Sums of the traffic and what metered lines have spent, under systemd."),
)
EXIT_CODES: Final = (
    ("0", "All went well, or a daemon was told to stop."),
    ("1", "Something must be changed; one sentence on standard error says what."),
    ("2", "An option or command that does not exist, or has no such value."),
)
EXAMPLES: Final = (
    (
        "On the rented server:",
        (
            "wrrtun server init --public 203.0.113.10",
            "wrrtun server invite home",
            "wrrtun server",
        ),
    ),
    (
        "At home, with two lines and the line that invite printed:",
        ("wrrtun client join --link eth0 --link eth1", "wrrtun client"),
    ),
)


def commands_page() -> str:
    """Return wrrtun(8)."""
    context = click.Context(main, info_name="wrrtun", **main.context_settings)
    lines = [_title("WRRTUN", 8), ".SH NAME", r"wrrtun \- several internet lines in one tunnel"]
    lines += [".SH SYNOPSIS", r".B wrrtun", r"\fICOMMAND\fR [\fIOPTIONS\fR] ..."]
    lines += [".SH DESCRIPTION", *_prose(main.help or "")]
    lines += [".SH OPTIONS", *_options(main, context), ".SH COMMANDS"]
    for name in main.list_commands(context):
        lines += _command(main.commands[name], context, name)
    lines.append(".SH EXAMPLES")
    for what, words in EXAMPLES:
        lines += [".PP", _text(what), ".PP", ".nf", ".RS 4", *map(_text, words), ".RE", ".fi"]
    lines += [".SH FILES", *_items(FILES), ".SH EXIT STATUS", *_items(EXIT_CODES)]
    lines += [".SH SEE ALSO", r".BR wrrtun.toml (5), systemctl (1), tc (8)"]
    return "\n".join(lines) + "\n"


def files_page() -> str:
    """Return wrrtun.toml(5)."""
    lines = [_title("WRRTUN.TOML", 5), ".SH NAME"]
    lines += [r"wrrtun.toml \- the configuration of wrrtun's client and server"]
    lines += [".SH SYNOPSIS", ".I /etc/wrrtun/client.toml", ".br", ".I /etc/wrrtun/server.toml"]
    lines += [".SH DESCRIPTION", *_prose(FILE_WORDS)]
    for table, heading in HEADINGS.items():
        lines.append(f'.SH "{_text(heading.upper() if ":" not in heading else heading)}"')
        for key in TABLES[table]:
            lines += _key(table, key)
    lines += [".SH SEE ALSO", ".BR wrrtun (8)"]
    return "\n".join(lines) + "\n"


def write(directory: Path) -> None:
    """Write both pages below a directory such as /usr/local/share/man."""
    for section, name, page in (
        (8, "wrrtun.8", commands_page()),
        (5, "wrrtun.toml.5", files_page()),
    ):
        place = directory / f"man{section}"
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(page)


def _title(name: str, section: int) -> str:
    # Not hyphenated, nor spread to the margin: names and options are to be read, and searched.
    return f'.\\" {MACROS}\n.TH {name} {section} "" "wrrtun {__version__}"\n.nh\n.ad l'


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """Describe a command, its options, and the commands within it."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context)).replace("COMMAND [ARGS]...", "")
    yield f'.SS "{_text(f"{context.command_path} {usage}".strip())}"'
    yield from _prose(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _command(command.commands[inner], context, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = (each for each in command.params if isinstance(each, click.Option))
    records = (option.get_help_record(context) for option in options)
    yield from _items(record for record in records if record is not None)


def _key(table: str, key: Key) -> Iterator[str]:
    yield from (".TP", f"\\fB{_text(key.name)}\\fR")
    words = [key.text]
    if key.needed:
        words.append("Needed.")
    words.append(f"May be: {key.allowed}.")
    if key.default:
        words.append(f"Default: {key.default}.")
    is_option = table in ("client", "server") or (table == "peer" and key.name in PEER_OPTIONS)
    if is_option and (key.flag or key.metavar is not None):
        words.append(f"Option: `{key.option}`.")
    yield _text(" ".join(words))


def _items(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in items:
        yield from (".TP", f"\\fB{_text(name)}\\fR", _text(text))


def _prose(text: str) -> Iterator[str]:
    """Set paragraphs; one that begins with a backspace keeps its lines, as click has it."""
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        lines = paragraph.splitlines()
        if lines[0].strip() == "\b":
            yield from (".nf", ".RS 4", *map(_text, lines[1:]), ".RE", ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _text(text: str) -> str:
    """Write text so that roff takes no part of it for a command; `code` becomes bold."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    text = text.replace("'", r"\(aq").replace('"', r"\(dq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return rf"\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    write(Path(sys.argv[1]))
