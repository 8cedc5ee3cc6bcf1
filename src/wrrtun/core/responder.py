"""The server's side of the handshake. Nothing is kept for a sender before its keys are proven.

What an INIT must pass, cheapest first:

    size, mac1, layout       a few microseconds, no state
    is it a copy             one look-up: the answer was made already
    load                     above 50 INITs a second: a cookie first, then limits for each sender
    Noise message 1          Diffie-Hellman: 0.2 ms
    known key, timestamp     newer than the greatest seen of this peer
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from .cookie import (
    MAC_BYTES,
    CookieJar,
    Limiter,
    LoadMeter,
    add_mac1,
    mac,
    mac1_key,
    network,
    strip_mac1,
)
from .errors import Drop, PeerError
from .handshake import (
    Established,
    SessionKeys,
    check_remote_keys,
    check_size,
    load_private_key,
    make_noise,
)
from .messages import PROTOCOL_VERSION, Hello, Init, Response, Welcome, parse_hello, parse_init
from .seal import Suite
from .versions import VERSION_OFFSET, OtherVersionError, make_answer

FREE_INITS_PER_SECOND: Final = 50.0  # at 0.2 ms each, 1 % of a core
# Senders with a cookie have real addresses, but there may be many: 4 % of a core for all of them.
PROVEN_INITS_PER_SECOND: Final = 200.0
SENDER_INITS_PER_SECOND: Final = 5.0  # a household of clients behind one address
SENDER_BURST: Final = 10.0
MAX_SENDERS: Final = 4096

# Copies of an INIT come over slower links for this long; later, it is a replay like any other.
# The client has sent another INIT by then.
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True)
class PeerKey:
    """A client that may connect; its public key is the key of the mapping."""

    name: str
    psk: bytes


@dataclass(frozen=True)
class Reply:
    """A datagram to send back where the INIT came from, and for a new session who and what."""

    datagram: bytes
    established: tuple[str, Established] | None = None


@dataclass(frozen=True)
class _Accepted:
    """The last INIT accepted from a peer, and its answer."""

    signed: bytes
    response: bytes
    timestamp_us: int
    boot_id: bytes
    at: float


class Responder:
    """Answers INITs. Unusable keys raise ConfigError."""

    def __init__(
        self,
        private_key: bytes,
        boot_id: bytes,
        peers: Mapping[bytes, PeerKey],
        random: Callable[[int], bytes],
    ) -> None:
        self._static = load_private_key(private_key)
        public_key = self._static.public_key().public_bytes_raw()
        self._public_key = public_key
        self._boot_id = boot_id
        self._random = random
        self._mac1_key = mac1_key(public_key)
        self._cookies = CookieJar(public_key, random)
        self._load = LoadMeter(FREE_INITS_PER_SECOND)
        self._proven = Limiter(PROVEN_INITS_PER_SECOND, PROVEN_INITS_PER_SECOND, 1)
        self._senders = Limiter(SENDER_INITS_PER_SECOND, SENDER_BURST, MAX_SENDERS)
        self._peers: dict[bytes, PeerKey] = {}
        self._accepted: dict[bytes, _Accepted] = {}  # by public key
        self._answers: dict[bytes, _Accepted] = {}  # the same by INIT, to find copies
        self.set_peers(peers)

    def set_peers(self, peers: Mapping[bytes, PeerKey]) -> None:
        """Change who may connect, by public key. Sessions that exist are not touched."""
        for public_key, peer in peers.items():
            check_remote_keys(self._static, public_key, peer.psk)
        self._peers = dict(peers)
        self._accepted = {key: last for key, last in self._accepted.items() if key in peers}
        self._answers = {last.signed: last for last in self._accepted.values()}

    def receive(
        self,
        datagram: bytes,
        source: bytes,
        now: float,
        *,
        refuses: Callable[[str, bytes], bool],
        allocate_session: Callable[[], int],
        next_bulk_seq: Callable[[str], int],
        mtu: Callable[[str], int],
    ) -> Reply:
        """Answer an INIT from `source` (cookie.py says how it is written), or raise PeerError.

        OtherVersionError has an answer of its own.

        `refuses` tells of a peer's name and boot id whether the session is another client's.
        `allocate_session` gives a free id (1 to 65 535); the other two are asked by peer name.
        They are called only for a session that will be established. The new session replaces an
        unconfirmed one of the same peer, and a live one at its first datagram.
        """
        check_size(datagram)
        signed, mac2 = datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]
        body = strip_mac1(self._mac1_key, signed)
        if body[VERSION_OFFSET] != PROTOCOL_VERSION:
            quiet = self._load.overloaded(now)
            told = b"" if quiet else make_answer(self._public_key, signed[-MAC_BYTES:])
            raise OtherVersionError(body[VERSION_OFFSET], told)
        init = parse_init(body)
        answered = self._answers.get(signed)
        if answered and now < answered.at + ANSWER_SECONDS:
            return Reply(answered.response)
        if self._load.overloaded(now):
            if not compare_digest(mac(self._cookies.cookie(source, now), signed), mac2):
                return self._ask_for_cookie(init, signed, source, now)
            self._limit(source, now)

        suite = _suite(init)
        noise = make_noise(suite, self._static, self._random(32))
        payload = noise.read_message(init.noise)
        public_key = noise.remote_static
        peer = self._peers.get(public_key)
        if peer is None:
            raise PeerError(Drop.UNKNOWN_PEER, "its static key is not configured")
        hello = parse_hello(payload)
        if not self._is_new(public_key, hello, source, now):
            return self._ask_for_cookie(init, signed, source, now)

        if refuses(peer.name, hello.boot_id):
            raise PeerError(Drop.SECOND_CLIENT, "another client with this key has the session")
        session = allocate_session()
        welcome = Welcome(self._boot_id, next_bulk_seq(peer.name), mtu(peer.name))
        noise.psk = peer.psk
        answer = Response(init.session, session, noise.write_message(welcome.encode()))
        response = add_mac1(mac1_key(public_key), answer.encode())
        self._remember(
            public_key, _Accepted(signed, response, hello.timestamp_us, hello.boot_id, now)
        )
        send_key, receive_key = noise.split()
        keys = SessionKeys(
            suite,
            send_key,
            receive_key,
            local_session=session,
            remote_session=init.session,
            initiator=False,
        )
        established = Established(keys, hello.boot_id, hello.next_bulk_seq, hello.mtu, hello.table)
        return Reply(response, (peer.name, established))

    def _limit(self, source: bytes, now: float) -> None:
        """Raise PeerError when a sender with a good cookie, or all of them, come too often."""
        if not self._senders.allow(network(source), now):
            raise PeerError(Drop.RATE_LIMITED, "too many handshakes from one address")
        if not self._proven.allow(b"", now):
            raise PeerError(Drop.RATE_LIMITED, "too many handshakes")

    def _is_new(self, public_key: bytes, hello: Hello, source: bytes, now: float) -> bool:
        """Tell whether an INIT is no replay; False: a cookie would prove it. Or raise PeerError.

        The timestamp proves it unless the clock has gone back, as in a router that has no battery
        and was restarted: then the boot id is another. So is that of an INIT recorded long ago,
        but such an INIT cannot hold today's cookie: that is why the cookie is inside, where only
        the owner of the static key can put it, and not only in mac2.
        """
        last = self._accepted.get(public_key)
        if last is None or hello.timestamp_us > last.timestamp_us:
            return True
        if compare_digest(hello.boot_id, last.boot_id):
            raise PeerError(Drop.STALE_HANDSHAKE, "its timestamp is not newer than the last")
        return compare_digest(hello.cookie, self._cookies.cookie(source, now))

    def _ask_for_cookie(self, init: Init, signed: bytes, source: bytes, now: float) -> Reply:
        return Reply(self._cookies.reply(init.session, signed[-MAC_BYTES:], source, now))

    def _remember(self, public_key: bytes, accepted: _Accepted) -> None:
        before = self._accepted.get(public_key)
        if before is not None:
            del self._answers[before.signed]
        self._accepted[public_key] = self._answers[accepted.signed] = accepted


def _suite(init: Init) -> Suite:
    try:
        return Suite(init.suite)
    except ValueError as error:
        raise PeerError(Drop.BAD_HANDSHAKE, f"suite {init.suite}") from error
