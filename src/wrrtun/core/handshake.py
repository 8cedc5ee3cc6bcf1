"""The handshake's words: what goes in, what comes out. initiator.py and responder.py do it.

    client                                         server
      INIT      suite, session, Noise 1, mac1, mac2  ->      the same bytes on every link
      <-        session, Noise 2, mac1           RESPONSE    the same bytes for each copy of INIT
                                  or
      <-        a cookie for the sender's address  COOKIE    under load, or to a clock gone back

Noise is IKpsk2: INIT proves the client's static key, RESPONSE the server's and the pre-shared
key. Both ends have keys after these two messages; the server uses them from the first datagram
that the client seals with them.
"""

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .errors import ConfigError, Drop, PeerError
from .messages import PROTOCOL_VERSION
from .noise import KEY_BYTES, HandshakeState
from .offers import LinkTable
from .seal import Suite

NOISE_NAMES: Final = {
    Suite.AES_256_GCM: "Noise_IKpsk2_25519_AESGCM_BLAKE2s",
    Suite.CHACHA20_POLY1305: "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
}

# The shortest is COOKIE. The longest is INIT with 15 links, at 613 bytes: far enough below the
# smallest MTU in use (IPv6's 1280) to arrive in one piece everywhere.
MIN_HANDSHAKE_BYTES: Final = 66
MAX_HANDSHAKE_BYTES: Final = 1024


@dataclass(frozen=True)
class SessionKeys:
    """What a handshake is for. Datagrams from us carry `remote_session`, those to us the other."""

    suite: Suite
    send_key: bytes = field(repr=False)
    receive_key: bytes = field(repr=False)
    local_session: int
    remote_session: int
    initiator: bool


@dataclass(frozen=True)
class Established:
    """The keys, and what the peer said of itself; only a client has links."""

    keys: SessionKeys
    boot_id: bytes
    next_bulk_seq: int
    mtu: int
    table: LinkTable | None = None


def check_size(datagram: bytes) -> None:
    """Refuse with PeerError what is too short or too long for a handshake."""
    if len(datagram) < MIN_HANDSHAKE_BYTES:
        raise PeerError(Drop.TRUNCATED, f"a handshake of {len(datagram)} bytes")
    if len(datagram) > MAX_HANDSHAKE_BYTES:
        raise PeerError(Drop.OVERSIZED, f"a handshake of {len(datagram)} bytes")


def load_private_key(private_key: bytes) -> X25519PrivateKey:
    """Make a key from its 32 bytes, or raise ConfigError."""
    try:
        return X25519PrivateKey.from_private_bytes(private_key)
    except ValueError as error:
        raise ConfigError(f"a private key must have {KEY_BYTES} bytes") from error


def check_remote_keys(mine: X25519PrivateKey, public_key: bytes, psk: bytes) -> None:
    """Refuse with ConfigError keys of a peer that no handshake could use."""
    if len(psk) != KEY_BYTES:
        raise ConfigError(f"a pre-shared key must have {KEY_BYTES} bytes")
    try:
        mine.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError as error:  # not 32 bytes, or a point of low order
        raise ConfigError("a peer's public key is none that X25519 can use") from error


def make_noise(
    suite: Suite,
    static: X25519PrivateKey,
    ephemeral: bytes,
    remote_static: bytes | None = None,
    psk: bytes | None = None,
) -> HandshakeState:
    """Begin one side of a handshake; the side that knows the other's static key is the client."""
    return HandshakeState(
        NOISE_NAMES[suite],
        initiator=remote_static is not None,
        static=static,
        ephemeral=X25519PrivateKey.from_private_bytes(ephemeral),
        remote_static=remote_static,
        prologue=b"wrrtun" + bytes([PROTOCOL_VERSION, suite]),
        psk=psk,
    )
