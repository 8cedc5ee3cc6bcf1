"""What the core tells its shell: facts worth a log line or a look, never per datagram."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionUp:
    """A handshake ended well and its keys are in use."""

    peer: str
    session: int
    rekeyed: bool


@dataclass(frozen=True)
class SessionDown:
    """The session ended; `reason` is a word for the log."""

    peer: str
    reason: str


@dataclass(frozen=True)
class LinkChanged:
    """A link moved from one state to another."""

    peer: str
    link: int
    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class PathChanged:
    """The peer's address on a link was validated; datagrams go there from now on."""

    peer: str
    link: int


@dataclass(frozen=True)
class LinkMtuChanged:
    """The longest IP packet that a link carries was found, in bytes."""

    peer: str
    link: int
    mtu: int


@dataclass(frozen=True)
class MtuAgreed:
    """The TAP's MTU, in bytes: the smaller of both ends', and what every link carries."""

    peer: str
    mtu: int


@dataclass(frozen=True)
class NoAnswer:
    """The server has not answered `attempts` handshakes in a row."""

    peer: str
    attempts: int


@dataclass(frozen=True)
class RateChanged:
    """What a link can carry was found, or is another by half or more; bits/s at the IP layer."""

    peer: str
    link: int
    rate_bits_per_second: float


@dataclass(frozen=True)
class SecondClient:
    """At `address`, another client with the key of `peer` asks for the session, in vain."""

    peer: str
    address: str


@dataclass(frozen=True)
class OtherVersion:
    """The other end speaks version `theirs` of the protocol; `peer` is an address at the server."""

    peer: str
    theirs: int


Event = (
    OtherVersion
    | SecondClient
    | RateChanged
    | SessionUp
    | SessionDown
    | LinkChanged
    | LinkMtuChanged
    | PathChanged
    | MtuAgreed
    | NoAnswer
)
