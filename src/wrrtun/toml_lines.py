"""What the standard library's TOML parser does not tell: where a key is, how to mend a mistake."""

import re
from typing import Final

_TABLE: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]\"']+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*["']?([A-Za-z0-9_.:-]+)["']?\s*=.*""")
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
# What the parser says, as it begins, and what a person would.
_HINTS: Final = {
    "Invalid value": "what follows the = is no value; text stands in quotes, and there are "
    "numbers, true and false",
    "Cannot overwrite": 'this is there already; for several, write a list, as ["eth0", "eth1"]',
    "Cannot declare": "this table is there already; write it once (only [[peer]] may be repeated)",
    "Cannot mutate": "this table is there already; write it once (only [[peer]] may be repeated)",
    "Duplicate": "this is there already; write it once",
    "Expected newline": "something is left over; text stands in quotes, and a line has one key",
    "Unclosed array": 'a list ends with ] and has commas, as ["eth0", "eth1"]',
    "Expected '='": "a line is key = value",
    "Illegal character": "text ends with a quote, on its own line",
    "Unterminated string": "text ends with a quote",
    "Invalid statement": "a line is key = value, or [table]",
    "Expected ']'": "a table is [name], or [[peer]]",
}


def mistake(text: str, said: str) -> tuple[int, str, str]:
    """Return the line of a mistake that the parser told, the key there, and how to mend it.

    The key may be a secret that stands in the wrong place: show it only if it is a known one.
    """
    found = _POSITION.search(said)
    lines = text.splitlines() or [""]
    number = int(found[1]) if found is not None and found[1] else len(lines)
    reason = _POSITION.sub("", said)
    hint = next((hint for words, hint in _HINTS.items() if reason.startswith(words)), reason)
    key = re.split(r"[\s=:]", lines[min(number, len(lines)) - 1].strip(), maxsplit=1)[0]
    return number, key, hint


def line_of(text: str, key: str | None, table: str = "", index: int = 0) -> int | None:
    """Return the line of `key` in the `index`th table of that name, counted from 1.

    `key` None is the table's own line; a key of the file may be written as a table. None when it
    is not found: then it is written in a way that only a whole parser could follow.
    """
    seen: dict[str, int] = {}
    inside = table == ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _TABLE.fullmatch(line)
        if header is not None:
            name = header[2]
            seen[name] = seen.get(name, -1) + 1
            inside = name == table and seen[name] == index
            if (inside and key is None) or (table == "" and name == key):
                return number
            continue
        found = _KEY.fullmatch(line)
        if inside and found is not None and found[1] == key:
            return number
    return None
