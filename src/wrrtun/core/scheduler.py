"""Give each link its weight's share of the bytes, smoothly, and never wait for a link.

Each link has a *virtual time*: its bytes so far divided by its weight. The mean of the virtual
times of the ready links, weighted, is what each of them should have: a link at or below the mean
has had no more than its share, and of those the one goes first that will need its next run
soonest (smallest virtual time after one more run). That is worst-case fair queueing, WF2Q
(Bennett and Zhang, 1996): the bytes of a link stay within one run of its share. Serving whoever
has the smallest virtual time would let a heavy link fall behind by a run for every other link.

Virtual times are kept relative to the mean, so they do not grow.
"""

from collections.abc import Collection
from typing import Final

# What a link may catch up after it was not ready, in runs of the present size. One is what order
# itself may owe it; the rest would be a burst on a line that had its reasons for not being ready.
# A bound in runs, because a run is about a millisecond of a link's rate.
CREDIT_RUNS: Final = 2.0

# The size of a run is the largest seen, fading over this many: seconds. Where large runs are rarer
# than it remembers, links fall behind: with one of 60 kB in ten of 60 bytes, a memory of 64 runs
# leaves a link 2.2 large runs behind its share, one of 1000 keeps it within 1.
RUN_MEMORY: Final = 1000


class Scheduler:
    """Smooth weighted round robin in bytes over the links that are ready."""

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._virtual: dict[int, float] = {}  # bytes / weight, the mean taken off at each choice
        self._run_bytes = 0.0

    def set_weight(self, link: int, weight: float) -> None:
        """Let a link take part, or change its share.

        `weight` is any positive number; only the proportions matter. The bytes that a link was
        owed at the last choice stay owed.
        """
        if not weight > 0:
            raise ValueError(f"the weight of link {link} is positive, not {weight}")
        owed_bytes = self._virtual.get(link, 0.0) * self._weights.get(link, weight)
        self._virtual[link] = owed_bytes / weight
        self._weights[link] = float(weight)

    def remove(self, link: int) -> None:
        """Forget a link; one that is not known is no error."""
        self._weights.pop(link, None)
        self._virtual.pop(link, None)
        if len(self._virtual) == 1:
            self._virtual = dict.fromkeys(self._virtual, 0.0)

    def choose(self, ready: Collection[int]) -> int | None:
        """Name the link whose turn it is among those ready; None when there is none.

        Links without a weight are passed over. Charge what is sent before the next choice.
        """
        weights, virtual = self._weights, self._virtual
        served = total = 0.0
        for link in ready:
            if link in weights:
                weight = weights[link]
                served += virtual[link] * weight
                total += weight
        if not total:
            return None
        mean = served / total
        run_bytes = self._run_bytes
        chosen, soonest = None, 0.0
        for link, weight in weights.items():
            time = virtual[link] - mean
            if link in ready:
                due = time + run_bytes / weight
                # Rounding may put a lone link a hair above its own mean.
                if time * weight <= 1e-6 * run_bytes and (chosen is None or due < soonest):
                    chosen, soonest = link, due
            elif time * weight < -CREDIT_RUNS * run_bytes:
                time = -CREDIT_RUNS * run_bytes / weight
            virtual[link] = time
        return chosen

    def charge(self, link: int, size_bytes: int) -> None:
        """Count what one run put on a link, chosen or not: express and repairs count too."""
        if link in self._weights and len(self._weights) > 1:  # a lone one is its own mean
            self._virtual[link] += size_bytes / self._weights[link]
        fade = (size_bytes - self._run_bytes) / RUN_MEMORY
        self._run_bytes = max(float(size_bytes), self._run_bytes + fade)
