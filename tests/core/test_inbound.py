from wrrtun.core.batch import split
from wrrtun.core.bond import Bond
from wrrtun.core.counters import Counters
from wrrtun.core.cutter import Cutter
from wrrtun.core.handshake import SessionKeys
from wrrtun.core.inbound import Inbound
from wrrtun.core.member import Member
from wrrtun.core.paths import PathCheck
from wrrtun.core.seal import Sealer, Suite
from wrrtun.core.session import Session
from wrrtun.core.train import Train
from wrrtun.core.wire import CONTINUES, Kind

from .test_segment import super_frame

KEY = bytes(32)


def receiver() -> tuple[Inbound, Session, Member]:
    bond = Bond()
    member = Member("peer", 1, 1.0, None, PathCheck(0, bytes), 28, 1.0)
    bond.add(member)
    session = Session(SessionKeys(Suite.AES_256_GCM, KEY, KEY, 7, 7, initiator=True), 1.0)
    return Inbound(bond, Counters()), session, member


def deliver(inbound: Inbound, session: Session, member: Member, seq: int, count: int) -> None:
    """Deliver one super-frame of `count` frames with seqs from `seq`, over no link's own path."""
    train = Train.parse(super_frame(bytes(1000 * count), 1000))
    assert train is not None
    frames, flags = Cutter().take(train, count)
    sealer = Sealer(Suite.AES_256_GCM, KEY, 7)
    batch = sealer.seal(Kind.BULK, flags, CONTINUES, 1, seq, frames)
    for run in split(memoryview(batch), len(frames[0]) + 24):
        assert inbound.frames(session, member, run, False, 1.0) == run.count


def test_small_runs_that_must_wait_do_not_keep_64_kilobytes_each() -> None:
    inbound, session, member = receiver()
    for seq in range(1, 1001, 10):  # seq 0 and every tenth frame are missing
        deliver(inbound, session, member, seq, 9)
        assert inbound.take() == []
    held = list(inbound.reorder._held.values())
    assert len(held) == 100
    assert all(one.slab is None and isinstance(one.data, bytes) for one in held)


def test_what_waited_comes_out_unchanged_after_its_memory_was_used_again() -> None:
    inbound, session, member = receiver()
    deliver(inbound, session, member, 40, 40)  # large: it keeps its memory
    deliver(inbound, session, member, 80, 8)
    assert inbound.take() == []
    deliver(inbound, session, member, 0, 40)
    vectors = inbound.take()
    assert [b"".join(map(bytes, vector))[10 + 66 :] for vector in vectors] == [
        bytes(40_000),
        bytes(40_000),
        bytes(8_000),
    ]


def test_without_order_bulk_is_handed_over_as_it_comes_and_what_is_missing_is_known() -> None:
    bond = receiver()[0]._bond
    _, session, member = receiver()
    inbound = Inbound(bond, Counters(), in_order=False)
    deliver(inbound, session, member, 40, 8)  # seqs 0 to 39 are missing
    assert [len(b"".join(map(bytes, vector))) for vector in inbound.take()] == [10 + 66 + 8_000]
    assert inbound.reorder.waiting
    deliver(inbound, session, member, 0, 40)
    assert [len(b"".join(map(bytes, vector))) for vector in inbound.take()] == [10 + 66 + 40_000]
    assert not inbound.reorder.waiting
    inbound.tick(9.0)
    assert inbound.take() == []


def test_what_came_over_another_link_first_counts_once_for_its_own() -> None:
    inbound, session, member = receiver()
    frames = [bytes([0]) * 100]
    sealed = [
        Sealer(Suite.AES_256_GCM, KEY, 7).seal(Kind.BULK, 0, 0, 1, seq, frames) for seq in (0, 1)
    ]
    (first,), (second,) = (split(memoryview(each), len(each)) for each in sealed)
    assert inbound.frames(session, member, first, False, 1.0) == 1
    assert inbound.take() != []
    assert inbound.reorder.floor(1) == 1  # nothing has come over the link itself

    assert inbound.frames(session, member, first, True, 1.1) == 1
    assert inbound.take() == []
    assert member.arrivals.datagrams == 1
    assert inbound.frames(session, member, first, True, 1.2) == 0
    assert inbound.frames(session, member, second, True, 1.3) == 1
    assert inbound.frames(session, member, second, True, 1.4) == 0
    assert member.arrivals.datagrams == 2
