"""A report's samples as they travel: the newest (seq, arrival_us), and steps back from it."""

from collections.abc import Sequence
from typing import Any, Final

from .errors import Drop, PeerError
from .wire import SEQ_MASK

MAX_REPORT_SAMPLES: Final = 8

Samples = tuple[tuple[int, int], ...]


def sample_fields(samples: Samples) -> dict[str, Any]:
    """Turn samples in order of arrival into fields; those too far before the next are left out."""
    steps: list[tuple[int, int]] = []
    for (seq, at), (next_seq, next_at) in zip(samples[-2::-1], samples[:0:-1], strict=True):
        step = next_seq - seq & SEQ_MASK, next_at - at
        if step[0] >> 16 or step[1] >> 24:
            break
        steps.append(step)
    return {"newest": samples[-1:], "earlier": steps}


def read_samples(newest: Sequence[Any], earlier: Sequence[Any]) -> Samples:
    """Turn fields into samples, or raise PeerError."""
    most = (MAX_REPORT_SAMPLES - 1) * len(newest)
    if len(newest) > 1 or len(earlier) > most:
        raise PeerError(Drop.BAD_MESSAGE, f"{len(newest)} and {len(earlier)} samples")
    samples = [(seq, at) for seq, at in newest]
    for seq_step, at_step in earlier:
        seq, at = samples[-1]
        samples.append((seq - seq_step & SEQ_MASK, at - at_step))
    return tuple(samples[::-1])
