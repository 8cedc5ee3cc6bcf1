"""The keys that say how a daemon is watched: page, log, sums, hooks."""

from typing import Final

from .config import DEFAULT_LOG_FORMAT, DEFAULT_WEB_ADDRESS, LOG_FORMATS
from .config_key import Key, one_of

WATCH_KEYS: Final = (
    Key(
        "web",
        "Where the web page listens, with the metrics for Prometheus (`/metrics`) and the same as "
        "JSON (`/status.json`). Whoever reaches that address can read them; nobody can change "
        f"anything. Without an address: {DEFAULT_WEB_ADDRESS}.",
        'a port such as 8080, or text such as "192.168.10.1:8080"',
        metavar="[ADDRESS:]PORT",
        default="no web page",
    ),
    Key(
        "log_format",
        "How events are logged: as text with key=value pairs, or one JSON object a line.",
        one_of(LOG_FORMATS),
        metavar="FORMAT",
        default=DEFAULT_LOG_FORMAT,
        choices=LOG_FORMATS,
    ),
    Key(
        "state_dir",
        "A directory of the daemon's own, where the sums of the traffic per day and month outlive "
        "it, and what metered links have spent.",
        'text such as "/var/lib/wrrtun"',
        metavar="DIRECTORY",
        default="$STATE_DIRECTORY, which systemd sets; without it the sums end with the daemon",
    ),
    Key("hooks", "The table [hooks], below.", "a table: [hooks]"),
)

_HOOK: Final = 'text such as "/usr/local/bin/notify line", or a list of words'
HOOK_KEYS: Final = (
    Key("on_up", "Run when there is a session.", _HOOK),
    Key("on_down", "Run when the session has ended.", _HOOK),
    Key("on_link_up", "Run when a link begins to carry traffic.", _HOOK),
    Key("on_link_down", "Run when a link no longer carries traffic.", _HOOK),
    Key("on_link_address", "Run when the peer's address on a link has changed.", _HOOK),
)
