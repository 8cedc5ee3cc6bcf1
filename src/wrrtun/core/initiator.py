"""The client's side of the handshake."""

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest

from .cookie import (
    COOKIE_SECONDS,
    MAC_BYTES,
    NO_COOKIE,
    add_mac1,
    mac,
    mac1_key,
    open_cookie,
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
from .messages import Hello, Init, parse_cookie, parse_response, parse_welcome
from .noise import HandshakeState
from .offers import LinkTable
from .seal import Suite
from .versions import ANSWER_BYTES, OtherVersionError, read_answer
from .wire import Kind


@dataclass(frozen=True)
class _Pending:
    """The INIT that waits for its answer."""

    session: int
    mac1: bytes
    noise: HandshakeState


class Initiator:
    """Makes INITs and reads their answers. One object for the whole run of a client.

    Only the newest INIT counts, and only its first answer. `boot_id` (16 bytes) must be new in
    every run: it is how the server knows that a clock that went back is not a replay. Unusable
    keys raise ConfigError.
    """

    def __init__(
        self,
        private_key: bytes,
        server_public_key: bytes,
        psk: bytes,
        *,
        suite: Suite,
        boot_id: bytes,
        random: Callable[[int], bytes],
    ) -> None:
        self._static = load_private_key(private_key)
        check_remote_keys(self._static, server_public_key, psk)
        self._server_public_key = server_public_key
        self._psk = psk
        self._suite = suite
        self._boot_id = boot_id
        self._random = random
        self._mac1_key = mac1_key(self._static.public_key().public_bytes_raw())
        self._timestamp_us = 0
        self._cookie = NO_COOKIE
        self._cookie_until = 0.0
        self._pending: _Pending | None = None
        self._answer = b""

    def start(
        self,
        session: int,
        next_bulk_seq: int,
        mtu: int,
        table: LinkTable,
        *,
        now: float,
        wall_clock_seconds: float,
    ) -> bytes:
        """Return a new INIT, to be sent as it is on every link; earlier ones are forgotten.

        `session` (1 to 65 535) is the id that the server's datagrams shall carry. A cookie less
        than 120 s old is used; it is good for the link it came over only.
        """
        self._timestamp_us = max(int(wall_clock_seconds * 1e6), self._timestamp_us + 1)
        cookie = self._cookie if now < self._cookie_until else NO_COOKIE
        noise = make_noise(
            self._suite, self._static, self._random(32), self._server_public_key, self._psk
        )
        hello = Hello(self._timestamp_us, self._boot_id, cookie, next_bulk_seq, mtu, table).encode()
        body = Init(self._suite, session, noise.write_message(hello)).encode()
        signed = add_mac1(mac1_key(self._server_public_key), body)
        self._pending = _Pending(session, signed[-MAC_BYTES:], noise)
        self._answer = b""
        return signed + (NO_COOKIE if cookie == NO_COOKIE else mac(cookie, signed))

    def receive(self, datagram: bytes, now: float) -> Established | None:
        """Read a RESPONSE; or keep a COOKIE and return None: then it is time to start() again.

        At once for the first COOKIE, else at the next retry, so that COOKIEs for several links do
        not chase each other. OtherVersionError when the server says that it speaks another version
        of the protocol, PeerError for all else; REPLAYED is another copy of the answer, as
        usual with several links.
        """
        if len(datagram) == ANSWER_BYTES and datagram[0] >> 4 == Kind.VERSION:
            if self._pending is None:
                raise PeerError(Drop.STALE_HANDSHAKE, "it answers no INIT that waits for an answer")
            mac1 = self._pending.mac1
            raise OtherVersionError(read_answer(self._server_public_key, datagram, mac1))
        check_size(datagram)
        if datagram[0] >> 4 == Kind.COOKIE:
            self._receive_cookie(datagram, now)
            return None
        response = parse_response(strip_mac1(self._mac1_key, datagram))
        if compare_digest(datagram, self._answer):
            raise PeerError(Drop.REPLAYED, "another copy of the answer")
        pending = self._pending_for(response.client_session)
        welcome = parse_welcome(pending.noise.read_message(response.noise))
        self._pending = None
        self._answer = datagram
        send_key, receive_key = pending.noise.split()
        keys = SessionKeys(
            self._suite,
            send_key,
            receive_key,
            local_session=pending.session,
            remote_session=response.session,
            initiator=True,
        )
        return Established(keys, welcome.boot_id, welcome.next_bulk_seq, welcome.mtu)

    def _receive_cookie(self, datagram: bytes, now: float) -> None:
        reply = parse_cookie(datagram)
        pending = self._pending_for(reply.client_session)
        self._cookie = open_cookie(self._server_public_key, reply, pending.mac1)
        self._cookie_until = now + COOKIE_SECONDS

    def _pending_for(self, session: int) -> _Pending:
        if self._pending is None or self._pending.session != session:
            raise PeerError(Drop.STALE_HANDSHAKE, "it answers no INIT that waits for an answer")
        return self._pending
