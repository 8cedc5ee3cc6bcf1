"""Every key of the configuration, described once.

From here come the options of the command line and their help, the sentences that say what a value
may be, and docs/CONFIGURATION.md (reference.py). The types are in config_file.py; a test holds
that both name the same keys.
"""

from dataclasses import replace
from typing import Final

from .config import (
    CIPHERS,
    DEFAULT_CIPHER,
    DEFAULT_DEVICE,
    DEFAULT_REKEY_SECONDS,
    DEFAULT_WHEN_DOWN,
    MAX_MTU,
    MAX_REKEY_SECONDS,
    MIN_MTU,
    MIN_REKEY_SECONDS,
    RATE_UNITS,
    RUN_DIRECTORY,
    WHEN_DOWN,
)
from .config_key import Key, one_of
from .config_watch_keys import HOOK_KEYS, WATCH_KEYS
from .core.wire import MAX_LINKS

KEY_FILE: Final = Key(
    "key_file",
    "Our private key, as `wrrtun genkey --out` makes it: readable by its owner only, and no "
    "symbolic link.",
    metavar="FILE",
    needed=True,
    secret=True,
)
PSK_FILE: Final = Key(
    "psk_file",
    "A second secret that both ends have: it keeps today's traffic safe should X25519 be broken "
    "one day. Made by `wrrtun genkey --out`, copied to the other end.",
    metavar="FILE",
    secret=True,
)
DEV: Final = Key(
    "dev",
    "The network device to create.",
    metavar="NAME",
    default=DEFAULT_DEVICE,
)
ADDRESS: Final = Key(
    "address",
    "The device's own address in the tunnel; may be repeated (IPv4 and IPv6).",
    'text such as "10.9.0.2/24", or a list of such texts',
    metavar="ADDRESS/PREFIX",
    repeated=True,
)
MTU: Final = Key(
    "mtu",
    "The device's MTU. The smaller of both ends' counts.",
    f"a whole number from {MIN_MTU} to {MAX_MTU}",
    metavar="BYTES",
    default="what fits the links",
    span=(MIN_MTU, MAX_MTU),
)
BRIDGE: Final = Key("bridge", "Make the device a port of this bridge.", metavar="NAME")
ROUTE: Final = Key(
    "route",
    "What is reached through the tunnel: all, or networks. The tunnel's own packets never go into "
    "it, whatever is routed.",
    'text such as "192.168.50.0/24", a list of such texts, or "all"',
    metavar="NETWORK|all",
    repeated=True,
)
VIA: Final = Key(
    "via",
    "The other end's address in the tunnel, which routes lead through, one for IPv4 and one for "
    "IPv6.",
    'text such as "10.9.0.1", or a list of such texts',
    metavar="ADDRESS",
    default="the first address of the tunnel's network that is not ours",
    repeated=True,
)


def _socket(role: str) -> Key:
    return Key(
        "socket",
        "Where `wrrtun status` and `wrrtun reload` ask.",
        metavar="PATH",
        default=f"{RUN_DIRECTORY}/{role}.sock",
    )


LIMITS: Final = Key("limits", "The table [limits], below.", "a table: [limits]")

CLIENT_KEYS: Final = (
    Key(
        "server",
        "Where the server listens. A name is looked up once, at the start.",
        metavar="HOST:PORT",
        needed=True,
    ),
    Key("server_key", "The server's public key.", metavar="PUBKEY", needed=True, secret=True),
    Key(
        "link",
        f"One internet line; repeat it for each, up to {MAX_LINKS}. WHERE is an interface (eth0), "
        "an alias label (eth0:0) or a source address (192.0.2.7, [2001:db8::7]). What the line "
        "carries in each direction is found, traffic is kept just below it, and the lines share "
        "the bytes accordingly. DOWN and UP, from and to the server, tell what is known before: a "
        f"number with a unit ({', '.join(RATE_UNITS)}: bits per second, k = 1000) is the line's "
        "rate, which is where it starts and is never exceeded; a bare number is a weight, its "
        "share until a rate is found; auto, the default, is neither. Behind it, ,backup: the line "
        "carries only when no other does. ,metered=10GB: it carries what the others have no room "
        "for; when half of the month's 10 GB is left, ever less, and when nothing is, as a backup "
        "(,metered=10GB@15: the month begins on the 15th).",
        'text such as "eth0" or "eth0:10mbit/1mbit", or a list of such texts',
        metavar="WHERE[:DOWN[/UP]][,MODE]",
        needed=True,
        repeated=True,
    ),
    Key(
        "redundant",
        "Send each frame over two lines, in both directions: what one loses, the other "
        "brings. The slower line's rate is what remains.",
        "true or false",
        default="false",
        flag=True,
    ),
    Key(
        "copies",
        f"Send each frame over so many lines; {MAX_LINKS} is all. redundant is copies = 2.",
        f"a whole number from 1 to {MAX_LINKS}",
        metavar="COUNT",
        default="1",
        span=(1, MAX_LINKS),
    ),
    KEY_FILE,
    PSK_FILE,
    DEV,
    ADDRESS,
    ROUTE,
    VIA,
    Key(
        "when_down",
        "What becomes of routed packets while the tunnel cannot carry them. wait: they are "
        "dropped until it can, and when the daemon ends they go over the lines again. fallback: "
        "after two seconds they go over the lines, by the machine's own routes. block: a kill "
        "switch; they go nowhere, also after the daemon has ended or crashed, until "
        "`wrrtun client unblock`.",
        one_of(WHEN_DOWN),
        metavar="WHAT",
        default=DEFAULT_WHEN_DOWN,
        choices=WHEN_DOWN,
    ),
    Key(
        "nat",
        "Hide the networks behind this machine behind its tunnel address, so that the server need "
        "not know them; and forward for them.",
        "true or false",
        default="false",
        flag=True,
    ),
    Key(
        "gateways",
        "The table [gateways]: a line's gateway, by the line's WHERE, where the machine has no "
        "default route over it.",
        'a table: [gateways], with entries such as eth1 = "192.168.2.1"',
        default="the gateway of the default route over that line, followed when it changes",
    ),
    MTU,
    BRIDGE,
    Key(
        "cipher",
        "auto: AES where the processor has it.",
        one_of(CIPHERS),
        metavar="NAME",
        default=DEFAULT_CIPHER,
        choices=CIPHERS,
    ),
    _socket("client"),
    *WATCH_KEYS,
    LIMITS,
)

SERVER_KEYS: Final = (
    Key(
        "listen",
        "The UDP port, on every address or on one (192.0.2.1:51820, [2001:db8::1]:51820).",
        'a port such as 51820, or text such as "192.0.2.1:51820"',
        metavar="[ADDRESS:]PORT",
        needed=True,
    ),
    KEY_FILE,
    Key(
        "nat",
        "Hide the clients and their networks behind this machine's addresses; and forward for "
        "them.",
        "true or false",
        default="false",
        flag=True,
    ),
    Key(
        "public",
        "Where clients reach this server. Goes into invitations.",
        metavar="HOST:PORT",
    ),
    Key(
        "network",
        "Where `wrrtun server invite` takes tunnel addresses from, one network for IPv4 and one "
        "for IPv6.",
        'text such as "10.80.16.0/20", or a list of such texts',
        repeated=True,
    ),
    Key(
        "peer",
        "A client that may connect, by its public key; may be repeated. NAME is for you. In a "
        "file: tables [[peer]], below.",
        "one or more tables: [[peer]]",
        metavar="NAME=PUBKEY",
        repeated=True,
    ),
    _socket("server"),
    *WATCH_KEYS,
    LIMITS,
)

PEER_KEYS: Final = (
    Key("name", "What you call the client.", needed=True),
    Key("public_key", "The client's public key.", needed=True, secret=True),
    PSK_FILE,
    replace(DEV, default=f"{DEFAULT_DEVICE} and so on: the first that is free"),
    replace(ADDRESS, allowed=ADDRESS.allowed.replace("0.2/24", "0.1/24")),
    replace(
        ROUTE,
        text="The networks behind the client, to be reached through the tunnel; not needed where "
        "the client has `nat`.",
        allowed='text such as "192.168.10.0/24", or a list of such texts',
    ),
    VIA,
    MTU,
    BRIDGE,
)

LIMITS_KEYS: Final = (
    Key(
        "rekey_seconds",
        "New keys this often.",
        f"a number from {MIN_REKEY_SECONDS:g} to {MAX_REKEY_SECONDS:g}",
        default=f"{DEFAULT_REKEY_SECONDS:g}",
    ),
)

# Options of the server that belong to its peers' devices, not to the server.
PEER_OPTIONS: Final = ("psk_file", "dev", "address", "mtu", "bridge")

TABLES: Final = {
    "client": CLIENT_KEYS,
    "server": SERVER_KEYS,
    "peer": PEER_KEYS,
    "limits": LIMITS_KEYS,
    "hooks": HOOK_KEYS,
}


def key_of(table: str, name: str) -> Key:
    """Return the description of a key that exists."""
    return next(key for key in TABLES[table] if key.name == name)


def plain(text: str) -> str:
    """Leave out the marks that only Markdown needs."""
    return text.replace("`", "")
