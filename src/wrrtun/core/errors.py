"""Errors, named after who must act; what the network sends wrong is counted by reason."""

from enum import StrEnum


class Drop(StrEnum):
    """Why something was dropped. The value is the counter's name in `wrrtun status`."""

    TRUNCATED = "truncated"  # shorter than a header and a tag
    OVERSIZED = "oversized"  # longer than any datagram of ours
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SESSION = "unknown_session"
    UNKNOWN_LINK = "unknown_link"
    UNKNOWN_PEER = "unknown_peer"  # a handshake from a static key that is not configured
    REPLAYED = "replayed"
    TOO_OLD = "too_old"  # behind the replay window
    EXPIRED = "expired"  # sealed under a key past its life
    BAD_TAG = "bad_tag"
    BAD_MAC = "bad_mac"  # MAC1: the sender does not know the server's public key
    BAD_COOKIE = "bad_cookie"
    BAD_HANDSHAKE = "bad_handshake"
    STALE_HANDSHAKE = "stale_handshake"  # timestamp not newer than the greatest seen
    SECOND_CLIENT = "second_client"  # a handshake of another client with the same key
    BAD_VERSION = "bad_version"
    BAD_MESSAGE = "bad_message"  # authenticated, but not a control message that we know
    RATE_LIMITED = "rate_limited"
    MALFORMED_FRAME = "malformed_frame"
    FRAME_TOO_BIG = "frame_too_big"
    QUEUE_FULL = "queue_full"
    QUEUE_DELAY = "queue_delay"  # CoDel
    NO_LINK = "no_link"
    SEND_FAILED = "send_failed"
    TAP_FULL = "tap_full"


class WrrtunError(Exception):
    """Whatever wrrtun raises on purpose."""


class ConfigError(WrrtunError):
    """The operator must change something; the message says what, and to what."""


class PeerError(WrrtunError):
    """The peer, or someone posing as it, sent something wrong: count it, drop it, go on."""

    def __init__(self, reason: Drop, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
