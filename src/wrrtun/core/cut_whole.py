"""Cut many short trains at once: what NumPy lays, it lays for all of them together.

What `cutter.Template` works out for each train is repeated for its frames. For TCP: many flows at
once, or one on a fast link, are that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .cutter import Layout, Template
from .slab import Slab
from .train import Train

Frames = list[bytearray | memoryview]


def cut_whole(trains: Sequence[Train], slab: Slab, at: int) -> Frames:
    """Lay all frames of trains into a slab, behind `at` others of that size.

    TCP, with headers of one shape and segments of one size, the last ones too.
    """
    headers, step = trains[0].headers, trains[0].segment_bytes
    assert headers is not None
    layout = Layout.of(slab, headers, step)
    payloads, segment, payload = layout.payloads, layout.segment, headers.payload
    inners = bytearray()
    counts, first_seqs, templates = [], [], []
    end = at
    for train in trains:
        count = train.count
        payloads[end : end + count] = np.ndarray((count,), segment, train.frame, payload)
        template = Template(train, headers)
        templates.append(template)
        inners += template.inner * count
        counts.append(count)
        # Less what the steps of all frames count up to it.
        first_seqs.append(template.first_seq - (end - at) * step & 0xFFFF_FFFF)
        end += count
    layout.headers[at:end] = np.frombuffer(inners, layout.header)
    seqs: Any = np.uint32(first_seqs[0])
    if first_seqs.count(first_seqs[0]) < len(first_seqs):  # not all of them go on from one another
        seqs = np.array(first_seqs, np.uint32).repeat(counts)
    layout.seqs[at:end] = layout.seq_steps[: end - at] + seqs
    frames = layout.frames[at:end]
    first = 0
    for template, count in zip(templates, counts, strict=True):
        if template.numbered:
            template.number(layout, at + first, 0, count)
        template.begin(frames[first])
        first += count
        template.end(frames[first - 1], step)
    return frames
