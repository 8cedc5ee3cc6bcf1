"""What a tunnel end is told: the frozen types, and every default, unit and limit, once.

options.py reads the text of one value, config_file.py puts a file and the command line together
into these types. What has reached them is checked: nobody looks at it twice.

Rates are bits per second at the IP layer, in tc's decimal units. A weight is a link's share of the
bytes; where a rate is given, the weight is its figure in Mbit/s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Final, Literal, get_args

from .core.offers import LinkRole
from .core.wire import MAX_BATCH_BYTES, OVERHEAD_BYTES

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network
Cipher = Literal["auto", "aes-256-gcm", "chacha20-poly1305"]
Role = Literal["client", "server"]
WhenDown = Literal["wait", "fallback", "block"]
LogFormat = Literal["text", "json"]

CONFIG_DIRECTORY: Final = Path("/etc/wrrtun")
RUN_DIRECTORY: Final = Path("/run/wrrtun")
MAX_CONFIG_BYTES: Final = 1 << 20

DEFAULT_DEVICE: Final = "wrr0"
DEFAULT_CIPHER: Final[Cipher] = "auto"
CIPHERS: Final[tuple[str, ...]] = get_args(Cipher)
DEFAULT_WHEN_DOWN: Final[WhenDown] = "wait"
WHEN_DOWN: Final[tuple[str, ...]] = get_args(WhenDown)
DEFAULT_LOG_FORMAT: Final[LogFormat] = "text"
LOG_FORMATS: Final[tuple[str, ...]] = get_args(LogFormat)
DEFAULT_WEB_ADDRESS: Final = IPv4Address("127.0.0.1")
STATUS_TIMEOUT_SECONDS: Final = 3.0

MAX_PORT: Final = 65_535
MAX_DEVICE_NAME_BYTES: Final = 15  # IFNAMSIZ less the closing zero
MAX_SOCKET_PATH_BYTES: Final = 107  # sun_path less the closing zero
MAX_PEER_NAME_CHARACTERS: Final = 32

MIN_MTU: Final = 576
MIN_IPV6_MTU: Final = 1280  # RFC 8200, 5


def least_mtu(addresses: tuple[IPInterface, ...]) -> int:
    """Say below what MTU a device with these addresses would lose some of them."""
    return MIN_IPV6_MTU if any(address.version == 6 for address in addresses) else MIN_MTU


# A whole frame, with its Ethernet header and one VLAN tag, has to fit into one datagram.
MAX_MTU: Final = MAX_BATCH_BYTES - OVERHEAD_BYTES - 18

# tc's decimal units, in bits per second.
RATE_UNITS: Final = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
# As mobile contracts count.
BYTE_UNITS: Final = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
MIN_WEIGHT: Final = 0.001  # as a rate: 1 kbit/s
MAX_WEIGHT: Final = 1e6  # as a rate: 1 Tbit/s

NO_PSK: Final = bytes(32)  # what Noise mixes in where no pre-shared key is configured

DEFAULT_REKEY_SECONDS: Final = 120.0
MIN_REKEY_SECONDS: Final = 1.0
MAX_REKEY_SECONDS: Final = 120.0
REJECT_FACTOR: Final = 1.5  # a key is refused after this many rekey times


def default_config_path(role: Role) -> Path:
    """Say which file `role` reads when none is named."""
    return CONFIG_DIRECTORY / f"{role}.toml"


def default_control_socket(role: Role) -> Path:
    """Say where a daemon of `role` listens for `wrrtun status` when nothing else is configured."""
    return RUN_DIRECTORY / f"{role}.sock"


@dataclass(frozen=True)
class Limits:
    """How long a session's keys live."""

    rekey_seconds: float = DEFAULT_REKEY_SECONDS

    @property
    def reject_seconds(self) -> float:
        """The age at which a key is refused, in seconds."""
        return self.rekey_seconds * REJECT_FACTOR


@dataclass(frozen=True)
class RoutingConfig:
    """What goes through a tunnel: networks, and for each family the other end's inner address."""

    networks: tuple[IPNetwork, ...] = ()
    via: tuple[IPAddress, ...] = ()


NO_ROUTES: Final = RoutingConfig()


@dataclass(frozen=True)
class WatchConfig:
    """How a daemon is watched. `web`: where its page listens; None: nowhere.

    `hooks` has a program and its arguments for each hook; without `state_directory`, sums of the
    traffic end with the daemon.
    """

    web: tuple[IPAddress, int] | None = None
    log_format: LogFormat = DEFAULT_LOG_FORMAT
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    state_directory: Path | None = None


@dataclass(frozen=True)
class MeteredConfig:
    """How much a line may carry in a month, both directions together, and when a month begins."""

    budget_bytes: int
    reset_day: int


@dataclass(frozen=True)
class LinkConfig:
    """One internet line of the client: where it is bound, and its share in each direction.

    Exactly one of `device` (an interface name or an alias label) and `address` (a source address)
    is set. A rate is None where the user gave a bare weight.
    """

    where: str
    device: str | None
    address: IPAddress | None
    weight_down: float
    weight_up: float
    rate_down_bits_per_second: int | None
    rate_up_bits_per_second: int | None
    role: LinkRole = LinkRole.USUAL
    metered: MeteredConfig | None = None


@dataclass(frozen=True)
class PeerConfig:
    """One client that the server knows, and the device that it gets."""

    name: str
    public_key: bytes
    psk: bytes = field(repr=False)
    device: str
    addresses: tuple[IPInterface, ...]
    bridge: str | None
    mtu: int | None
    routing: RoutingConfig = NO_ROUTES


@dataclass(frozen=True)
class ServerConfig:
    """Everything that `wrrtun server` runs on. `listen_address` None: any, both families.

    `public` and `networks` are for invitations only.
    """

    listen_address: IPAddress | None
    listen_port: int
    private_key: bytes = field(repr=False)
    peers: tuple[PeerConfig, ...]
    control_socket: Path
    limits: Limits
    nat: bool = False
    public: tuple[str, int] | None = None
    networks: tuple[IPNetwork, ...] = ()
    watch: WatchConfig = field(default_factory=WatchConfig)


@dataclass(frozen=True)
class ClientConfig:
    """Everything that `wrrtun client` runs on. Link numbers are the positions in `links`.

    `copies`: on how many links each frame goes.
    """

    server_host: str
    server_port: int
    server_public_key: bytes
    private_key: bytes = field(repr=False)
    psk: bytes = field(repr=False)
    links: tuple[LinkConfig, ...]
    device: str
    addresses: tuple[IPInterface, ...]
    bridge: str | None
    mtu: int | None
    cipher: Cipher
    control_socket: Path
    limits: Limits
    routing: RoutingConfig = NO_ROUTES
    when_down: WhenDown = DEFAULT_WHEN_DOWN
    nat: bool = False
    gateways: Mapping[str, IPAddress] = field(default_factory=dict)
    copies: int = 1
    watch: WatchConfig = field(default_factory=WatchConfig)
