"""On which line of a TOML file a key stands: what the standard library's parser does not tell."""

import re
from typing import Final

_TABLE: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]\"']+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*["']?([A-Za-z0-9_.:-]+)["']?\s*=.*""")


def line_of(text: str, key: str | None, table: str = "", index: int = 0) -> int | None:
    """Return the line of `key` in the `index`th table of that name, counted from 1.

    `key` None is the table's own line. None when it is not found: then it is written in a way
    that only a whole parser could follow.
    """
    seen: dict[str, int] = {}
    inside = table == ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _TABLE.fullmatch(line)
        if header is not None:
            name = header[2]
            seen[name] = seen.get(name, -1) + 1
            inside = name == table and seen[name] == index
            if inside and key is None:
                return number
            continue
        found = _KEY.fullmatch(line)
        if inside and found is not None and found[1] == key:
            return number
    return None
