"""What samples say of the bulk that a link has under way."""

from wrrtun.core.flight import Flight, Sample
from wrrtun.core.wire import SEQ_MASK


def send(flight: Flight, first: int, count: int, wire_before: int, now: float) -> None:
    flight.add(first, count, 1500, wire_before, False, 0, now)


def test_a_sample_says_when_its_datagram_left_and_what_was_sent_with_it() -> None:
    flight = Flight()
    send(flight, 10, 2, 0, 1.0)
    send(flight, 15, 4, 3_100, 2.0)  # 100 bytes of express lay between
    assert flight.settle(((16, 2_050_000),)) == [Sample(2.05, 2.0, 6_100, 4, False, 0)]
    assert flight.bytes == 2 * 1500


def test_what_a_newer_sample_overtook_is_no_longer_under_way() -> None:
    flight = Flight()
    for seq in range(10):
        send(flight, seq, 1, seq * 1500, seq * 0.01)
    assert flight.bytes == 15_000
    flight.settle(((7, 100_000),))
    assert flight.bytes == 3_000
    assert flight.settle(((3, 90_000), (6, 95_000))) == []


def test_samples_of_what_was_never_sent_say_nothing() -> None:
    flight = Flight()
    send(flight, 5, 1, 0, 0.0)
    assert flight.settle(((4, 1), (5, 2), (6, 3))) == [Sample(2e-6, 0.0, 1500, 1, False, 0)]


def test_seqs_wrap() -> None:
    flight = Flight()
    send(flight, SEQ_MASK, 2, 0, 1.0)
    (sample,) = flight.settle(((0, 1_000_000),))
    assert sample.bulk == 2
    assert flight.bytes == 0


def test_what_is_cleared_is_not_under_way_and_what_follows_counts_on() -> None:
    flight = Flight()
    send(flight, 0, 3, 0, 1.0)
    flight.clear()
    assert flight.bytes == 0
    send(flight, 3, 2, 4500, 2.0)
    (sample,) = flight.settle(((3, 2_000_000),))
    assert sample.bulk == 4
    assert flight.bytes == 1500


def test_what_left_later_than_noted_is_no_sample_but_no_longer_under_way() -> None:
    flight = Flight()
    send(flight, 0, 2, 0, 1.0)
    send(flight, 2, 2, 3_000, 1.1)
    send(flight, 4, 2, 6_000, 1.1)
    flight.doubt(1.1)
    send(flight, 6, 2, 9_000, 1.2)
    assert flight.settle(((1, 1_020_000), (7, 1_230_000))) == [
        Sample(1.02, 1.0, 3_000, 2, False, 0),
        Sample(1.23, 1.2, 12_000, 8, False, 0),
    ]
    assert flight.bytes == 0


def test_a_report_whose_newest_sample_is_in_doubt_says_nothing() -> None:
    flight = Flight()
    send(flight, 0, 2, 0, 1.0)
    send(flight, 2, 2, 3_000, 1.1)
    flight.doubt(1.1)
    assert flight.settle(((1, 1_020_000), (3, 1_180_000))) == []
    assert flight.bytes == 0
