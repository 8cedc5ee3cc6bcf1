"""What may follow a link after a comma: when it carries, and what it may cost.

eth1:3mbit,backup               only when no other line carries
wlan0,metered=10GB              what the others have no room for, within a budget for the month
wlan0:3mbit,metered=500MB@15    the same; the month begins on the 15th
"""

import re
from dataclasses import replace
from typing import Final

from .config import BYTE_UNITS, LinkConfig, MeteredConfig
from .core.errors import ConfigError
from .core.offers import LinkRole
from .options import parse_link, quoted

# The 29th to 31st are not in every month.
LAST_RESET_DAY: Final = 28
_METERED: Final = re.compile(r"metered=([0-9]{1,9}(?:\.[0-9]{1,3})?)([A-Za-z]+)(?:@([0-9]{1,2}))?")
_MODES: Final = re.compile(r"([^,]*)((?:,(?:backup|metered)[^,]*)*)")


def parse_link_with_modes(text: str) -> LinkConfig:
    """Read WHERE[:DOWN[/UP]][,backup][,metered=BYTES[@DAY]]."""
    match = _MODES.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{quoted(text)}: after a comma there may be backup, metered=10GB or metered=10GB@15"
        )
    link = parse_link(match[1])
    words = match[2].split(",")[1:]
    if len(words) > 1:
        raise ConfigError(f"{quoted(text)}: a line is either backup or metered, once")
    for word in words:
        if word == "backup":
            link = replace(link, role=LinkRole.BACKUP)
        else:
            link = replace(link, role=LinkRole.METERED, metered=_parse_metered(word, text))
    return link


def _parse_metered(word: str, text: str) -> MeteredConfig:
    match = _METERED.fullmatch(word)
    unit = BYTE_UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ConfigError(
            f"{quoted(text)}: {quoted(word)} is no budget; write metered=10GB, for each month, or "
            f"metered=10GB@15 if the month begins on the 15th (units: {', '.join(BYTE_UNITS)})"
        )
    budget_bytes, reset_day = round(float(match[1]) * unit), int(match[3] or 1)
    if not budget_bytes or not 1 <= reset_day <= LAST_RESET_DAY:
        raise ConfigError(
            f"{quoted(text)}: a budget is more than 0, and the day 1 to {LAST_RESET_DAY}"
        )
    return MeteredConfig(budget_bytes, reset_day)
