"""The links of one tunnel as this end uses them: which carry, which is fastest, which stands by."""

from collections.abc import Iterator, Sequence
from typing import Final

from .link_state import CARRYING, LinkState
from .member import Member
from .offers import LinkRole
from .paths import Path

# Even in idle times a link is heard each second. One that has not been for so long may be dead: a
# small frame goes over another one too, until an answer or silence has decided. So the first frames
# after a quiet hour arrive.
UNHEARD_SECONDS: Final = 1.5


class Bond:
    """All links of a tunnel, by number."""

    def __init__(self) -> None:
        self.copies = 1  # on how many links each frame goes
        self._members: dict[int, Member] = {}
        self._carrying: list[Member] = []
        self.spare: list[Member] = []  # metered, to carry what the others have no room for
        self.trusted: list[Member] = []  # of those that carry: for what must arrive in time
        self._doubtful: list[Member] = []  # good for another copy only: stalled, or at rest

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def get(self, number: int) -> Member | None:
        """Return one link."""
        return self._members.get(number)

    def on_path(self, path: Path) -> Member | None:
        """Return the link that has this path."""
        return next((member for member in self._members.values() if member.path == path), None)

    def add(self, member: Member) -> None:
        """Let a link take part."""
        self._members[member.number] = member
        self.refresh()

    def remove(self, number: int) -> None:
        """Take a link out."""
        del self._members[number]
        self.refresh()

    def refresh(self) -> None:
        """Look at the links again: a state, a path or a role has changed."""
        members = [member for member in self._members.values() if member.path is not None]
        ready = [member for member in members if member.link.state in CARRYING]
        usual, metered, backup = (
            [member for member in ready if member.role is role] for role in LinkRole
        )
        # A line that loses every third probe is bad, but better than none.
        stalled = [member for member in members if member.link.state is LinkState.STALLED]
        fit = [member for member in usual if not member.unfit]
        self._carrying = fit or usual or metered or backup or stalled
        self.spare = metered if usual else []
        usable = [one for one in (*usual, *stalled) if one.role is LinkRole.USUAL]
        self._doubtful = [one for one in usable if one not in self._carrying]
        for member in self._members.values():
            member.link.share_probes(len(self._members))
            member.standby = member.role is not LinkRole.USUAL and member not in self._carrying
        trusted = [one for one in self._carrying if not one.suspect]
        self.trusted = trusted if 0 < len(trusted) < len(self._carrying) else self._carrying

    def carrying(self) -> list[Member]:
        """Return the links that frames may be sent on; asked for every frame."""
        return self._carrying

    def fastest(self, now: float) -> Member | None:
        """Return the link on which a small frame would arrive first."""
        candidates = self.trusted
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda member: member.delay_seconds(now), default=None)

    def for_express(self, count: int, now: float) -> Sequence[Member]:
        """Return the links for an express frame that is sent `count` times, the best first.

        Where too few carry for so many copies, links in doubt get one too: at a tenth lost, a
        good line passes for a stalled one every few minutes.
        """
        candidates = self.trusted if count == 1 else self._carrying
        extra = self._doubtful[: count - len(candidates)] if count > len(candidates) else []
        if len(candidates) == 1 and not extra:
            return candidates
        ranked = sorted(candidates, key=lambda member: member.express_cost_seconds(now))
        if now - ranked[0].link.heard_at > UNHEARD_SECONDS:
            count = max(count, 2)
        return [*ranked[:count], *extra]

    def credit(self, member: Member, path: Path, count: int, size: int, now: float) -> None:
        """Count authentic datagrams on the link that brought them, whatever their header says."""
        if path != member.path:
            # A path that no link has yet is its header's link on the move.
            member = next((one for one in self if one.path == path), member)
        member.link.on_received(count, size + count * member.header_bytes, now)

    def paced(self) -> bool:
        """Tell whether every link that carries has a rate: then queues stand here, not there."""
        carrying = self.carrying()
        return bool(carrying) and all(member.rate_bits_per_second for member in carrying)

    def rate_bits_per_second(self, copies: int = 1) -> float:
        """Return what links which carry can take together, or search with; 0: without rates.

        With copies, the slowest decides.
        """
        rates = [member.finder.rate * 8 for member in self.carrying()]
        if not rates or not all(rates):
            return 0.0
        return sum(rates) if copies == 1 else min(rates) * len(rates) / min(copies, len(rates))
