"""What makes a handshake cheap to refuse: MACs, cookies, and limits. No Diffie-Hellman here.

    mac1     ends INIT and RESPONSE: keyed with the receiver's public key, so nothing answers a
             sender that does not know it
    cookie   the server's MAC of an address and port under a secret of its own; who echoes it
             receives at that address
    mac2     follows mac1 in INIT: keyed with the cookie, zeros without one

`source` is the packed address (4 or 16 bytes) and the port (2 bytes) that a datagram came from,
an IPv4 address mapped into IPv6 written as IPv4.
"""

import math
from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .errors import Drop, PeerError
from .messages import Cookie

MAC_BYTES: Final = 16
NO_COOKIE: Final = bytes(MAC_BYTES)
COOKIE_SECONDS: Final = 120.0  # a secret's life; a cookie lives no longer than its secret


def mac(key: bytes, data: bytes) -> bytes:
    """Return the 16-byte MAC of `data` (BLAKE2s with its own keyed mode, RFC 7693, 2.9)."""
    return blake2s(data, key=key, digest_size=MAC_BYTES).digest()


def mac1_key(public_key: bytes) -> bytes:
    """Return the key of mac1 in datagrams to the owner of `public_key`."""
    return blake2s(b"wrrtun mac1" + public_key).digest()


def add_mac1(key: bytes, body: bytes) -> bytes:
    """Append mac1."""
    return body + mac(key, body)


def strip_mac1(key: bytes, signed: bytes) -> bytes:
    """Return what mac1 covers, or raise PeerError."""
    body = signed[:-MAC_BYTES]
    if not compare_digest(mac(key, body), signed[-MAC_BYTES:]):
        raise PeerError(Drop.BAD_MAC, "the sender does not know our public key")
    return body


def open_cookie(server_public_key: bytes, reply: Cookie, mac1: bytes) -> bytes:
    """Open the cookie that answers our INIT with `mac1`, or raise PeerError."""
    try:
        return _box(server_public_key, reply.nonce).decrypt(bytes(12), reply.sealed, mac1)
    except InvalidTag as error:
        raise PeerError(Drop.BAD_COOKIE, "it answers another INIT, or is forged") from error


def _box(server_public_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    # A 24-byte nonce can be drawn at random for ever, a 12-byte one cannot, and XChaCha20 is not
    # to be had. It hashes 16 bytes of the nonce into a key of one message (HChaCha20); keyed
    # BLAKE2s, a pseudorandom function as well, does so with all 24. Each key seals once, so the
    # inner nonce may stay zero. mac1 as associated data ties the cookie to one INIT: only who
    # sees that INIT can make a client take a cookie.
    key = blake2s(b"wrrtun cookie" + server_public_key).digest()
    return ChaCha20Poly1305(blake2s(nonce, key=key).digest())


class CookieJar:
    """The server's cookies. Nothing is kept for each sender: a cookie is computed again."""

    def __init__(self, public_key: bytes, random: Callable[[int], bytes]) -> None:
        self._public_key = public_key
        self._random = random
        self._secret = b""
        self._changes_at = -math.inf

    def cookie(self, source: bytes, now: float) -> bytes:
        """Return the only cookie that is good for `source` at `now`."""
        if now >= self._changes_at:
            self._secret = self._random(32)
            self._changes_at = now + COOKIE_SECONDS
        return mac(self._secret, source)

    def reply(self, client_session: int, mac1: bytes, source: bytes, now: float) -> bytes:
        """Make the COOKIE datagram that answers an INIT with `mac1`."""
        nonce = self._random(24)
        sealed = _box(self._public_key, nonce).encrypt(bytes(12), self.cookie(source, now), mac1)
        return Cookie(client_session, nonce, sealed).encode()


def network(source: bytes) -> bytes:
    """Return what one sender is likely to own: an IPv4 address, or an IPv6 /64."""
    address = source[:-2]
    return address if len(address) == 4 else address[:8]


class LoadMeter:
    """Tells when more happens than `per_second`; refused attempts count too.

    A level rises by one with each attempt and drains steadily. It may rise to twice the limit, so
    a flood is over for us half a second to a second after it ends, not between two of its packets.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._level = 0.0
        self._at = 0.0

    def overloaded(self, now: float) -> bool:
        """Count one attempt and tell whether it is too many."""
        level = max(0.0, self._level - (now - self._at) * self._per_second)
        self._level, self._at = min(level + 1, 2 * self._per_second), now
        return level >= self._per_second


class Limiter:
    """Lets each sender through `per_second` times a second, `burst` times at once.

    At most `capacity` senders are known at a time. One whose bucket has drained is forgotten;
    while all places are taken by others, a new sender is refused.
    """

    def __init__(self, per_second: float, burst: float, capacity: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._capacity = capacity
        self._levels: dict[bytes, tuple[float, float]] = {}  # sender: level, and when it was so
        self._sweep_at = 0.0

    def __len__(self) -> int:
        return len(self._levels)

    def allow(self, sender: bytes, now: float) -> bool:
        """Count one attempt of `sender` unless it is refused."""
        if sender not in self._levels and len(self._levels) >= self._capacity:
            self._sweep(now)
            if len(self._levels) >= self._capacity:
                return False
        level = self._level(sender, now)
        if level + 1 > self._burst:
            return False
        self._levels[sender] = (level + 1, now)
        return True

    def _level(self, sender: bytes, now: float) -> float:
        level, at = self._levels.get(sender, (0.0, now))
        return max(0.0, level - (now - at) * self._per_second)

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return  # going through the table for each newcomer would be a flood's best weapon
        self._sweep_at = now + 1.0
        for sender in [s for s in self._levels if self._level(s, now) <= 0.0]:
            del self._levels[sender]
