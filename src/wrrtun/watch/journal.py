"""Events in words: one line of `key=value` pairs or one JSON object each, for the journal.

    INFO link changed peer=home link=1 before=up after=down reason=silent
    {"time": "2026-03-01T07:30:00.125Z", "level": "info", "message": "link changed", "link": 1, ...}

Under systemd each line begins with its priority, as sd-daemon(3) has it, so that `journalctl -p
warning` works; the journal takes the prefix away.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TextIO

from wrrtun.config import LogFormat
from wrrtun.core.events import (
    Event,
    LinkChanged,
    LinkMtuChanged,
    MtuAgreed,
    NoAnswer,
    OtherVersion,
    PathChanged,
    RateChanged,
    SecondClient,
    SessionDown,
    SessionUp,
)
from wrrtun.core.messages import PROTOCOL_VERSION

log = logging.getLogger("wrrtun")

_NEEDS_QUOTES: Final = re.compile(r'[\s"=\\]|^$')
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY: Final = 7


class Note(NamedTuple):
    """An event for people: how important, what, and the facts by name."""

    level: int
    message: str
    fields: Mapping[str, object]


def note_of(event: Event) -> Note:
    """Put an event into words."""
    match event:
        case SessionUp(peer, session, rekeyed):
            level = logging.DEBUG if rekeyed else logging.INFO
            message = "session renewed" if rekeyed else "session up"
            return Note(level, message, {"peer": peer, "id": f"{session:04x}"})
        case SessionDown(peer, reason):
            return Note(logging.INFO, "session down", {"peer": peer, "reason": reason})
        case LinkChanged(peer, link, before, after, reason):
            fields = {"peer": peer, "link": link, "before": before, "after": after}
            return Note(logging.INFO, "link changed", fields | {"reason": reason})
        case PathChanged(peer, link):
            return Note(logging.INFO, "link has a new address", {"peer": peer, "link": link})
        case NoAnswer(peer, attempts):
            return Note(
                logging.WARNING,
                "no answer to handshakes: is it reachable, are the keys right?",
                {"peer": peer, "attempts": attempts},
            )
        case OtherVersion(peer, theirs):
            return Note(
                logging.WARNING,
                "the other end speaks another version of the protocol: update both ends",
                {"peer": peer, "ours": PROTOCOL_VERSION, "theirs": theirs},
            )
        case SecondClient(peer, address):
            return Note(
                logging.WARNING,
                "another client with the same key asks for the session: give each a key of its own",
                {"peer": peer, "address": address},
            )
        case RateChanged(peer, link, rate):
            fields = {"peer": peer, "link": link, "mbit_per_second": f"{rate / 1e6:.2f}"}
            return Note(logging.INFO, "link carries another rate", fields)
        case LinkMtuChanged(peer, link, mtu):
            fields = {"peer": peer, "link": link, "mtu": mtu}
            return Note(logging.INFO, "link carries packets of this size", fields)
        case MtuAgreed(peer, mtu):
            return Note(logging.INFO, "device's mtu", {"peer": peer, "mtu": mtu})


def write(note: Note) -> None:
    """Hand a note to the log."""
    log.log(note.level, note.message, extra={"fields": note.fields})


class Formatter(logging.Formatter):
    """One line per record; `extra={"fields": {...}}` becomes its pairs or keys."""

    def __init__(self, kind: LogFormat, *, priorities: bool) -> None:
        super().__init__()
        self._kind = kind
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line (an exception's traceback makes it several)."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self._kind == "json":
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            head = {"time": at.replace("+00:00", "Z"), "level": record.levelname.lower()}
            line = json.dumps(head | {"message": message} | dict(fields), default=str)
        else:
            line = " ".join([record.levelname, message, *map(_pair, fields.items())])
        if not self._priorities:
            return line
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + part for part in line.split("\n"))


def set_up(kind: LogFormat) -> None:
    """Make the log of this process go to standard error in one of the two forms."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(kind, priorities=_is_journal(sys.stderr)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _pair(item: tuple[str, object]) -> str:
    key, value = item
    text = str(value)
    return f"{key}={json.dumps(text) if _NEEDS_QUOTES.search(text) else text}"


def _priority(level: int) -> int:
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG_PRIORITY)


def _is_journal(stream: TextIO) -> bool:
    """Tell whether what we write goes to the journal: systemd.exec(5), $JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
