from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.join import Opened
from wrrtun.core.reorder import MAX_HELD_DATAGRAMS, ReorderBuffer
from wrrtun.core.wire import SEQ_MASK

HOLD = 0.050


def one(seq: int, count: int = 1) -> Opened:
    return Opened(seq & SEQ_MASK, count, b"x" * 100 * count, 0, None, 0, 0)


def seqs(released: list[Opened]) -> list[int]:
    return [item.seq + i for item in released for i in range(item.count)]


def test_what_comes_in_order_goes_straight_through() -> None:
    buffer = ReorderBuffer(0, HOLD)
    assert seqs(buffer.insert(one(0, 3), 1.0)) == [0, 1, 2]
    assert seqs(buffer.insert(one(3), 1.0)) == [3]
    assert buffer.deadline is None


def test_a_gap_that_fills_releases_everything_behind_it() -> None:
    buffer = ReorderBuffer(0, HOLD)
    assert buffer.insert(one(2, 2), 1.0) == []
    assert buffer.insert(one(1), 1.0) == []
    assert seqs(buffer.insert(one(0), 1.02)) == [0, 1, 2, 3]
    assert (buffer.held_bytes, buffer.held_datagrams, buffer.waiting) == (0, 0, False)
    assert round(buffer.longest_wait_seconds, 6) == 0.02


def test_the_deadline_is_set_once_and_later_arrivals_do_not_move_it() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.000)
    for step in range(1, 5):
        buffer.insert(one(1 + step), 1.0 + step / 100)
    assert buffer.deadline == 1.050
    assert buffer.expire(1.049) == []
    assert seqs(buffer.expire(1.050)) == [1, 2, 3, 4, 5]
    assert buffer.counts.lost_by_deadline == 1


def test_each_gap_has_a_deadline_of_its_own() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.000)
    buffer.insert(one(3), 1.020)
    assert seqs(buffer.expire(1.050)) == [1]
    assert buffer.deadline == 1.070
    assert seqs(buffer.expire(1.070)) == [3]


def test_a_datagram_that_every_live_link_has_passed_by_is_lost_without_a_timer() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.0)
    buffer.raise_floor(0, 1)
    assert buffer.infer([0, 1], 1.0) == []
    buffer.insert(one(2), 1.01)
    buffer.raise_floor(1, 2)
    assert seqs(buffer.infer([0, 1], 1.01)) == [1, 2]
    assert buffer.counts.lost_by_inference == 1


def test_a_marker_on_an_idle_link_lets_a_loss_be_inferred() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.0)
    buffer.raise_floor(0, 1)
    buffer.raise_floor(1, 2)  # "the next bulk here will be 2 or later"
    assert seqs(buffer.infer([0, 1], 1.0)) == [1]


def test_only_the_part_of_a_gap_below_every_floor_is_given_up() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(4), 1.0)
    buffer.raise_floor(0, 4)
    buffer.raise_floor(1, 2)
    assert buffer.infer([0, 1], 1.0) == []
    assert buffer.next_seq == 2
    assert seqs(buffer.insert(one(2, 2), 1.01)) == [2, 3, 4]
    assert buffer.counts.lost_by_inference == 2


def test_a_floor_never_falls() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(9), 1.0)
    buffer.raise_floor(0, 9)
    buffer.raise_floor(0, 3)
    assert buffer.floor(0) == 9


def test_what_comes_after_it_was_given_up_is_passed_on_at_once() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.0)
    buffer.expire(1.05)
    assert seqs(buffer.insert(one(0), 1.2)) == [0]
    assert buffer.counts.late == 1


def test_late_arrivals_make_inference_patient_and_the_patience_fades() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(1), 1.0)
    buffer.raise_floor(0, 1)
    buffer.infer([0], 1.0)
    buffer.insert(one(0), 1.004)  # reordered inside the link, by 4 ms
    assert buffer.tolerance_seconds >= 0.004

    buffer.insert(one(3), 1.010)
    buffer.raise_floor(0, 3)
    assert buffer.infer([0], 1.010) == []
    assert seqs(buffer.insert(one(2), 1.0145)) == [2, 3]
    buffer.decay_tolerance(60.0)
    assert buffer.tolerance_seconds == 0.0


def test_a_seq_far_ahead_flushes_in_bounded_time_and_memory() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(5), 1.0)
    assert seqs(buffer.insert(one((1 << 39) - 1), 1.0)) == [5, (1 << 39) - 1]
    assert buffer.held_datagrams == 0


def test_the_buffer_is_bounded_in_datagrams() -> None:
    buffer = ReorderBuffer(0, HOLD)
    released: list[Opened] = []
    for seq in range(1, MAX_HELD_DATAGRAMS + 100):
        released += buffer.insert(one(seq), 1.0)
    assert buffer.held_datagrams <= MAX_HELD_DATAGRAMS
    assert seqs(released) == list(range(1, MAX_HELD_DATAGRAMS + 100))


def test_seqs_go_on_in_order_where_the_forty_bits_wrap() -> None:
    first = SEQ_MASK - 2
    buffer = ReorderBuffer(first, HOLD)
    buffer.insert(one(first + 4), 1.0)
    buffer.insert(one(first + 1, 2), 1.0)
    out = buffer.insert(one(first), 1.0) + buffer.insert(one(first + 3), 1.0)
    assert [item.seq for item in out] == [(first + i) & SEQ_MASK for i in (0, 1, 3, 4)]


def test_a_restarted_peer_begins_anew() -> None:
    buffer = ReorderBuffer(0, HOLD)
    buffer.insert(one(2), 1.0)
    assert seqs(buffer.restart(700)) == [2]
    assert seqs(buffer.insert(one(700), 1.0)) == [700]


@given(order=st.permutations(range(40)), lost=st.sets(st.integers(0, 39)))
def test_every_frame_comes_out_once_and_in_order_until_a_gap_is_given_up(
    order: list[int], lost: set[int]
) -> None:
    buffer = ReorderBuffer(0, 1.0)
    out: list[int] = []
    for seq in order:
        if seq not in lost:
            out += seqs(buffer.insert(one(seq), 0.0))
    assert out == sorted(out)
    while buffer.deadline is not None:
        out += seqs(buffer.expire(buffer.deadline))
    assert out == sorted(set(range(40)) - lost)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 5), st.floats(0, 0.1), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_over_ordered_links_nothing_that_arrives_is_ever_late(
    sends: list[tuple[int, int, float, bool]],
) -> None:
    """Inference alone: with every link in order, it gives up only what was really lost."""
    queues: dict[int, list[tuple[int, int, bool]]] = {0: [], 1: [], 2: []}
    seq = 0
    for link, count, _, lost in sends:
        queues[link].append((seq, count, lost))
        seq += count
    buffer = ReorderBuffer(0, 1e9)
    out: list[int] = []
    now = 0.0
    # Links progress at different paces, each in its own order.
    for link, _, wait, _ in sorted(sends, key=lambda send: send[2]):
        if queues[link]:
            first, count, lost = queues[link].pop(0)
            now += wait
            if not lost:
                out += seqs(buffer.insert(one(first, count), now))
                buffer.raise_floor(link, first + count - 1)
            out += seqs(buffer.infer([0, 1, 2], now))
    assert buffer.counts.late == 0
    assert out == sorted(out)


def fallen(at: float) -> ReorderBuffer:
    """A buffer that misses 0 and 1, noticed at 1.0, from a link that was last heard at `at`."""
    buffer = ReorderBuffer(0, HOLD)
    buffer.round_trip_seconds = 0.020
    buffer.insert(one(2), 1.0)
    buffer.fallen_at = at
    return buffer


def expired(buffer: ReorderBuffer) -> float:
    """When the buffer gives its gaps up, if it is asked at each deadline."""
    while (now := buffer.deadline) is not None:
        if buffer.expire(now) or not buffer.waiting:
            return round(now, 6)
        buffer.asks(100, now)
    return 0.0


def test_what_a_dead_line_swallowed_is_waited_for_a_little_longer() -> None:
    assert expired(fallen(at=0.0)) == 1.170
    assert expired(fallen(at=0.990)) == 1.340


def test_while_it_comes_one_by_one_it_is_waited_for_but_not_for_ever() -> None:
    buffer = fallen(at=0.990)
    buffer.insert(one(4), 1.001)
    buffer.insert(one(6), 1.002)
    assert buffer.expire(1.060) == []
    assert seqs(buffer.insert(one(0), 1.300, original=False)) == [0]
    assert buffer.expire(1.350) == []
    assert seqs(buffer.insert(one(1), 1.390, original=False)) == [1, 2]
    assert seqs(buffer.insert(one(3), 1.450, original=False)) == [3, 4]
    assert expired(buffer) == 1.550
