"""Counts of what happened, by reason. Plain integers: the status snapshot copies them."""

from collections import Counter

from .errors import Drop


class Counters:
    """Drops by reason."""

    def __init__(self) -> None:
        self._drops: Counter[Drop] = Counter()

    def drop(self, reason: Drop, count: int = 1) -> None:
        """Count `count` datagrams or frames dropped for `reason`."""
        self._drops[reason] += count

    def drops(self) -> dict[str, int]:
        """Return the drops so far, by the reason's name; reasons that never happened are absent."""
        return {reason.value: count for reason, count in sorted(self._drops.items()) if count}
