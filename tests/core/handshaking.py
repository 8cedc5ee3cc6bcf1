"""Two ends that shake hands, for the tests of the handshake."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wrrtun.core.cookie import NO_COOKIE, add_mac1, mac1_key
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.handshake import Established
from wrrtun.core.initiator import Initiator
from wrrtun.core.messages import Init
from wrrtun.core.offers import LinkOffer, LinkTable
from wrrtun.core.responder import PeerKey, Reply, Responder
from wrrtun.core.seal import Suite

# The encodings of points whose order divides 8 (RFC 7748, section 7; Bernstein's list): whatever
# the private key, the shared secret is zero.
LOW_ORDER_POINTS = [
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]

SERVER_KEY, CLIENT_KEY, STRANGER_KEY = (bytes([n]) * 32 for n in (1, 2, 3))
PSK = b"p" * 32
BOOT_1, BOOT_2 = b"first boot......", b"second boot....."
SERVER_BOOT = b"the server's run"
HOME = bytes([192, 0, 2, 1]) + (40000).to_bytes(2, "big")
MOBILE = bytes([198, 51, 100, 7]) + (50000).to_bytes(2, "big")
WALL_CLOCK = 1_700_000_000.0
LINK_ADSL, LINK_LTE = LinkOffer(0, 10.0, 1.0, 0, 0), LinkOffer(1, 3.0, 3.0, 0, 3_000_000)


def public(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def repeatable(seed: str) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed} {count}".encode()).digest(size)

    return draw


class Client:
    """An Initiator with the arguments that most tests do not care about."""

    def __init__(
        self,
        key: bytes = CLIENT_KEY,
        server: bytes = SERVER_KEY,
        psk: bytes = PSK,
        suite: Suite = Suite.AES_256_GCM,
        boot_id: bytes = BOOT_1,
    ) -> None:
        self.initiator = Initiator(
            key, public(server), psk, suite=suite, boot_id=boot_id, random=repeatable("client")
        )

    def start(
        self,
        session: int = 0x1111,
        now: float = 0.0,
        clock: float = WALL_CLOCK,
        links: tuple[LinkOffer, ...] = (LINK_ADSL, LINK_LTE),
    ) -> bytes:
        return self.initiator.start(
            session, 2**40 - 1, 1400, LinkTable(0, 1, links), now=now, wall_clock_seconds=clock
        )

    def receive(self, datagram: bytes, now: float = 0.0) -> Established | None:
        return self.initiator.receive(datagram, now)

    def finish(self, datagram: bytes, now: float = 0.0) -> Established:
        established = self.receive(datagram, now)
        assert established is not None
        return established


@dataclass
class Server:
    """A Responder that counts the sessions it allocates, from 0x2001."""

    peers: dict[bytes, PeerKey] = field(
        default_factory=lambda: {public(CLIENT_KEY): PeerKey("home", PSK)}
    )
    sessions: int = 0x2000
    refused: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        self.responder = Responder(SERVER_KEY, SERVER_BOOT, self.peers, repeatable("server"))

    def receive(self, datagram: bytes, source: bytes = HOME, now: float = 0.0) -> Reply:
        return self.responder.receive(
            datagram,
            source,
            now,
            refuses=lambda name, boot_id: boot_id in self.refused,
            allocate_session=self._allocate,
            next_bulk_seq=len,
            mtu=lambda name: 1380,
        )

    def accept(self, datagram: bytes, source: bytes = HOME, now: float = 0.0) -> bytes:
        """Answer an INIT that must lead to a new session."""
        reply = self.receive(datagram, source, now)
        assert reply.established is not None
        return reply.datagram

    def flood(self, now: float) -> None:
        """Bring the server under load, with INITs that it cannot open."""
        for count in range(100):
            with contextlib.suppress(PeerError):
                self.receive(forged_init(count), address(count), now)

    def _allocate(self) -> int:
        self.sessions += 1
        return self.sessions


def address(count: int) -> bytes:
    """Return a source address, each time another one."""
    return (0x0A000000 + count).to_bytes(4, "big") + b"\x30\x39"


def forged_init(count: int) -> bytes:
    """Make what a flood is made of: it costs the server a Diffie-Hellman to find out."""
    noise = hashlib.sha512(b"%d" % count).digest() * 3
    return sign_init(Init(suite=1, session=1 + count % 65535, noise=noise).encode())


def sign_init(body: bytes) -> bytes:
    """Add what anyone can add who knows the server's public key."""
    return add_mac1(mac1_key(public(SERVER_KEY)), body) + NO_COOKIE


def established(reply: Reply) -> Established:
    assert reply.established is not None
    return reply.established[1]


def refuse_init(server: Server, datagram: bytes, reason: Drop, now: float = 0.0) -> None:
    before = server.sessions
    with pytest.raises(PeerError) as caught:
        server.receive(datagram, now=now)
    assert caught.value.reason is reason
    assert server.sessions == before


def refuse_answer(client: Client, datagram: bytes, reason: Drop) -> None:
    with pytest.raises(PeerError) as caught:
        client.receive(datagram)
    assert caught.value.reason is reason
