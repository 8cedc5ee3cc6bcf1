"""The keys of one handshake in use, and the three sessions that live through a rekey.

A rekey happens under traffic: datagrams under the previous keys are still on the slow link while
the fast one already brings the new ones. So a tunnel knows up to three sessions: *current* seals
and opens; *previous* only opens; *next* (the responder's, until the first datagram under it
arrives) only opens, so that a handshake that nobody finished changes nothing.
"""

from dataclasses import dataclass
from typing import Final

from .batch import Run
from .errors import PeerError
from .handshake import SessionKeys
from .opener import Opener
from .replay import ReplayWindow
from .seal import Sealer
from .wire import SEQ_MASK, Kind

# Express goes over the fastest link and control is sparse: neither needs the width that bulk on
# links of different delay does.
WINDOW_SEQS: Final = {Kind.BULK: 65_536, Kind.EXPRESS: 8_192, Kind.CONTROL: 1_024}


@dataclass(frozen=True)
class KeyLife:
    """When a key is replaced and when it is refused, in seconds and sealed datagrams."""

    rekey_seconds: float = 120.0
    reject_seconds: float = 180.0
    rekey_datagrams: int = 1 << 27
    reject_datagrams: int = 1 << 28


class Session:
    """One handshake's keys, counters and replay windows."""

    def __init__(self, keys: SessionKeys, born: float) -> None:
        self.keys = keys
        self.born = born
        self.sealer = Sealer(keys.suite, keys.send_key, keys.remote_session)
        self.opener = Opener(keys.suite, keys.receive_key)
        self.sealed = 0
        self.opened = 0
        self._next_seq = {Kind.EXPRESS: 0, Kind.CONTROL: 0}
        self._windows: dict[int, ReplayWindow] = {}

    def window(self, kind: int) -> ReplayWindow:
        """Return the replay window of one class; it is made at the class's first datagram."""
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = ReplayWindow(WINDOW_SEQS[Kind(kind)])
        return window

    def take_seq(self, kind: Kind, count: int = 1) -> int:
        """Consume the next seqs of express or control; return the first.

        They stay consumed if the send fails.
        """
        seq = self._next_seq[kind]
        self._next_seq[kind] = seq + count & SEQ_MASK
        return seq

    def may_seal(self, now: float, life: KeyLife) -> bool:
        """Tell whether the key is young enough to seal with."""
        return now - self.born < life.reject_seconds and self.sealed < life.reject_datagrams

    def may_open(self, now: float, life: KeyLife) -> bool:
        """Tell whether the key is young enough to open with."""
        return now - self.born < life.reject_seconds and self.opened < life.reject_datagrams

    def proves(self, run: Run) -> bool:
        """Tell whether a run's first datagram is authentic, and so the peer has the keys."""
        try:
            self.opener.open_message(run)
        except PeerError:
            return False
        return True

    def rekey_at(self, life: KeyLife) -> float:
        """Say when the key has served its time, however little it has sealed."""
        return self.born + life.rekey_seconds

    def wants_rekey(self, now: float, life: KeyLife) -> bool:
        """Tell whether a new handshake is due."""
        return now >= self.rekey_at(life) or max(self.sealed, self.opened) >= life.rekey_datagrams


class Sessions:
    """Previous, current and next."""

    def __init__(self) -> None:
        self.previous: Session | None = None
        self.current: Session | None = None
        self.next: Session | None = None
        self.changed = False  # since whoever keeps a list of session numbers looked

    def find(self, local_session: int) -> Session | None:
        """Return the live session that a header names."""
        for session in (self.current, self.previous, self.next):
            if session is not None and session.keys.local_session == local_session:
                return session
        return None

    def offer(self, session: Session) -> None:
        """Keep a session until its first datagram proves it."""
        self.next = session
        self.changed = True

    def promote(self, session: Session) -> None:
        """Make `session` current and the current one previous."""
        if self.next is session:
            self.next = None
        self.previous, self.current = self.current, session
        self.changed = True

    def expire(self, now: float, life: KeyLife) -> None:
        """Forget sessions past their life."""
        self.previous = self._living(self.previous, now, life)
        self.current = self._living(self.current, now, life)
        self.next = self._living(self.next, now, life)
        self.changed = True

    def clear(self) -> None:
        """Forget all."""
        self.previous = self.current = self.next = None
        self.changed = True

    @property
    def local_ids(self) -> set[int]:
        """The session numbers that the peer may send to."""
        alive = (self.previous, self.current, self.next)
        return {session.keys.local_session for session in alive if session}

    @staticmethod
    def _living(session: Session | None, now: float, life: KeyLife) -> Session | None:
        return session if session and session.may_open(now, life) else None
