"""The reference page of the configuration, made from its keys: docs/CONFIGURATION.md.

python -m wrrtun.reference > docs/CONFIGURATION.md
"""

from collections.abc import Iterator
from typing import Final

from .config_key import Key
from .config_keys import PEER_OPTIONS, TABLES

HEADINGS: Final = {
    "client": "The client's file: /etc/wrrtun/client.toml",
    "server": "The server's file: /etc/wrrtun/server.toml",
    "peer": "[[peer]] in the server's file: one for each client",
    "limits": "[limits] in either file",
    "hooks": "[hooks] in either file: programs that are run when something happens",
}

FILE_WORDS: Final = """\
Files are TOML. Nearly every key is also an option of `wrrtun client` or `wrrtun server`, with `-`
for `_`; options win. File names in a file are relative to it. What may be repeated is a list in the
file. A wrong file is refused with one sentence that names the line, the key and what is allowed;
`wrrtun check-config` asks without starting anything.
"""

HEAD: Final = f"""\
# Configuration

Made by `python -m wrrtun.reference` from `src/wrrtun/config_keys.py`; change it there.

{FILE_WORDS}"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(line for table in TABLES for line in _section(table))])


def _section(table: str) -> Iterator[str]:
    yield f"## {HEADINGS[table]}\n"
    yield "| key | option | what it is |\n|---|---|---|"
    for key in TABLES[table]:
        yield f"| `{key.name}` | {_option(table, key)} | {_cell(key)} |"
    yield ""


def _option(table: str, key: Key) -> str:
    if table in ("limits", "hooks") or (table == "peer" and key.name not in PEER_OPTIONS):
        return ""
    if key.flag:
        return f"`{key.option}`"
    return f"`{key.option} {key.metavar}`".replace("|", "\\|") if key.metavar else ""


def _cell(key: Key) -> str:
    words = [key.text]
    if key.needed:
        words.append("**Needed.**")
    words.append(f"May be: {key.allowed}.")
    if key.default:
        words.append(f"Default: {key.default}.")
    return " ".join(words).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
