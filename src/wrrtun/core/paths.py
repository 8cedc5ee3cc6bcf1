"""Where the datagrams of a link go, and when that changes.

A *path* is an opaque value that the shell understands. The client has one path per link from the
start. The server learns paths from whatever is authentic, and sends to a new one only after a
probe brought a challenge back from there (as QUIC does: RFC 9000, 8.2).
"""

from collections.abc import Callable, Hashable
from typing import Final

Path = Hashable
NO_TOKEN: Final = bytes(8)
TOKEN_BYTES: Final = 8


class PathCheck:
    """Which path a link's datagrams go to, and the challenge to the one that wants to follow."""

    def __init__(self, path: Path | None, random: Callable[[int], bytes]) -> None:
        self.path = path
        self._random = random
        self._candidate: Path | None = None
        self._token = NO_TOKEN
        self._newest_probe = -1

    def on_probe(self, path: Path, order: int, token: bytes) -> tuple[bytes, bool]:
        """Judge the path that a probe came from; `order` grows with each probe that was sent.

        Return the token to answer with (zeros: no challenge) and whether the path is new and now
        valid. An older probe, overtaken or replayed late, challenges but never moves a path.
        """
        if path == self.path:
            self._newest_probe = max(self._newest_probe, order)
            return NO_TOKEN, False
        if order > self._newest_probe:
            self._newest_probe = order
            if path == self._candidate and token == self._token:
                self.path, self._candidate = path, None
                return NO_TOKEN, True
            if path != self._candidate:
                self._candidate, self._token = path, self._random(TOKEN_BYTES)
        return (self._token if path == self._candidate else NO_TOKEN), False

    def on_stray(self, path: Path) -> bytes:
        """Hear that another path brought something authentic that may be no probe.

        Return the token to challenge it with, once; zeros: it has been.
        """
        if path == self._candidate:
            return NO_TOKEN
        self._candidate, self._token = path, self._random(TOKEN_BYTES)
        return self._token

    def restart(self) -> None:
        """Count probes from the beginning: they are numbered anew under a new session's keys."""
        self._newest_probe = -1
