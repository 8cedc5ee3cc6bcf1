"""How long datagrams may be, on each link and for the whole tunnel.

Each link's search is in path_mtu.py. The tunnel's MTU is the smallest that its links need, so that
a frame, sealed once, can go over any of them: those that are down too, for they may be back when
the next frame leaves. A link that would need less than the tunnel can do with carries no frames
while others do.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from .bond import Bond
from .events import LinkChanged, LinkMtuChanged, MtuAgreed
from .headers import ETHERNET_BYTES
from .link_state import CARRYING, LinkState
from .member import Member
from .messages import ControlMessage
from .outbound import Outbound
from .output import Outbox
from .paths import Path
from .settings import TunnelSettings
from .size_messages import SIZE_PROBE_BYTES, SIZE_REPLY_BYTES, SizeProbe, SizeReply
from .wire import OVERHEAD_BYTES

FRAME_BYTES: Final = ETHERNET_BYTES + OVERHEAD_BYTES  # of a datagram, beside the packet in it
# Loss like this may be full datagrams alone.
SUSPICIOUS_LOSS: Final = 0.1


class Sizes:
    """Lets each link's search work, and the tunnel's MTU follow."""

    def __init__(
        self,
        peer: str,
        bond: Bond,
        outbound: Outbound,
        outbox: Outbox,
        settings: TunnelSettings,
        send: Callable[[Member, ControlMessage, float], None],
        note: Callable[[LinkChanged | None, float], None],
    ) -> None:
        self.mtu: int | None = None  # the tunnel's; None before the first handshake
        self._peer = peer
        self._bond = bond
        self._outbound = outbound
        self._outbox = outbox
        self._agreed_mtu = settings.mtu
        self._least_mtu = settings.least_mtu
        self._send = send
        self._note = note
        self._seen: dict[int, tuple[LinkState, Path | None]] = {}
        self._told: dict[int, int] = {}

    def agree(self, mtu: int, now: float) -> None:
        """Hear what both ends' devices and settings allow."""
        self._agreed_mtu = mtu
        for member in self._bond:
            self._bound(member, now)
        if self.mtu is None:
            self.mtu = mtu
            self._use(mtu)
        self._apply()

    def take(self, message: ControlMessage, member: Member, path: Path, now: float) -> bool:
        """Take a probe of a size, or an answer to one; tell whether it was any."""
        search = member.link.path_mtu
        if isinstance(message, SizeProbe):
            if path == member.path:
                size = SIZE_PROBE_BYTES + len(message.padding)
                padding = bytes(size - SIZE_REPLY_BYTES)
                self._send(member, SizeReply(message.probe_id, padding), now)
                search.hear(message.says, now)
            return True
        if isinstance(message, SizeReply):
            size = SIZE_REPLY_BYTES + len(message.padding)
            search.on_reply(message.probe_id, size, size == SIZE_PROBE_BYTES, now)
            return True
        return False

    def refused(self, member: Member, size_bytes: int, now: float) -> bool:
        """Hear that the link's device does not send so much; tell whether no frame was lost."""
        self._bound(member, now)
        search = member.link.path_mtu
        searched = size_bytes == search.asked_bytes
        search.refused(size_bytes, now)
        return searched

    @staticmethod
    def renewed(member: Member, now: float) -> None:
        """Hear that a link's datagrams may go another way than before."""
        member.link.path_mtu.renew(now)

    def tick(self, now: float) -> float:
        """Do what time makes due; return when to come back."""
        due = inf
        for member in self._bond:
            self._bound(member, now)
            self._watch(member, now)
            search, link = member.link.path_mtu, member.link
            if member.path is None or link.state in (LinkState.PROBING, LinkState.DOWN):
                continue
            if search.asked_bytes is not None or not member.resting(now):
                timeout = link.round_trip.timeout
                size = search.begin_round(timeout, now)
                if size is not None:
                    padding = bytes(size - SIZE_PROBE_BYTES)
                    self._send(member, SizeProbe(search.round, search.says, padding), now)
                    self._send(member, SizeProbe(search.round, search.says), now)
                due = min(due, search.due_at(timeout))
            if search.doubted and link.state in CARRYING:
                self._note(link.on_size_doubted(now), now)
            self._tell(member, now)
        self._apply()
        return due

    def _bound(self, member: Member, now: float) -> None:
        member.link.path_mtu.bound(
            min(self._least_mtu, self._agreed_mtu) + FRAME_BYTES,
            self._agreed_mtu + FRAME_BYTES,
            member.header_bytes,
            now,
        )

    def _watch(self, member: Member, now: float) -> None:
        """Doubt what was found when the link is in trouble, or perhaps another than before."""
        state, search = member.link.state, member.link.path_mtu
        before, path = self._seen.get(member.number, (LinkState.PROBING, member.path))
        self._seen[member.number] = state, member.path
        if state is not before and (before not in CARRYING or state is LinkState.STALLED):
            search.doubt(now, urgent=True)
        elif max(member.link.loss_in, member.link.loss_out) > SUSPICIOUS_LOSS:
            search.doubt(now)
        if path != member.path:
            search.renew(now)
        elif before is LinkState.DOWN and state is not before:
            search.hope(now)

    def _tell(self, member: Member, now: float) -> None:
        """Let people and the other end know what was found."""
        search = member.link.path_mtu
        size = search.says
        if not size or size == self._told.get(member.number):
            return
        self._told[member.number] = size
        self._outbox.note(LinkMtuChanged(self._peer, member.number, size + member.header_bytes))
        self._send(member, SizeProbe(search.round, size), now)

    def _apply(self) -> None:
        """Let the tunnel's MTU be the smallest of its links'."""
        if self.mtu is None:
            return
        sizes = [member.link.path_mtu.size_bytes for member in self._bond]
        fitting = [size - FRAME_BYTES for size in sizes if size]
        mtu = min([self._agreed_mtu, *fitting])
        if mtu != self.mtu:
            self._use(mtu)

    def _use(self, mtu: int) -> None:
        self.mtu = mtu
        self._outbound.limit_frames(mtu + ETHERNET_BYTES)
        self._outbox.note(MtuAgreed(self._peer, mtu))
