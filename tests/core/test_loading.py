"""Super-frames of many flows share runs, and come out as they went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.batch import split
from wrrtun.core.errors import Drop
from wrrtun.core.inbound import Inbound
from wrrtun.core.member import Member
from wrrtun.core.output import Transmit
from wrrtun.core.session import Session
from wrrtun.core.slab import SLAB_BYTES, Slab
from wrrtun.core.vnet import VNET, VNET_PLAIN
from wrrtun.core.wire import MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS

from .test_segment import UDP, cut_all, super_frame
from .test_stretch import change, complete, ends, send

HEADERS = 66  # of TCP over IPv4, with timestamps


def read_of(port: int, size: int, *, ipv6: bool = False, segment_bytes: int = 1000) -> bytes:
    """Make one TAP read of TCP with so much payload, of the flow that this port says."""
    read = bytearray(super_frame(port.to_bytes(2) * (size // 2), segment_bytes, ipv6=ipv6))
    at = VNET.size + (54 if ipv6 else 34)
    read[at : at + 2] = port.to_bytes(2)
    return bytes(read)


def receive(
    inbound: Inbound,
    session: Session,
    member: Member,
    batches: list[Transmit],
    *,
    own_path: bool = True,
) -> list[bytes]:
    """Receive batches into one slab, as a daemon does; return what the TAP is given.

    `own_path`: they came over their link, which then brings nothing older.
    """
    slab, out = Slab(), []
    for batch in batches:
        data = slab.view[: len(batch.data)]
        data[:] = batch.data
        for run in split(data, batch.datagram_bytes, slab):
            inbound.frames(session, member, run, own_path, 1.0)
        data[:] = bytes(len(data))
        out += [b"".join(vector) for vector in inbound.take()]
    return out


kinds = st.sampled_from(("tcp", "tcp6", "other size", "udp", "plain", "numbered"))


# Invariant: whatever the mixture of flows, sizes and kinds, the other end's TAP is given it as it
# was read.
@given(st.lists(st.tuples(kinds, st.integers(4, 120)), min_size=1, max_size=40))
def test_what_many_flows_send_at_once_comes_out_as_it_went_in(parts: list[tuple[str, int]]) -> None:
    reads = []
    for port, (kind, tenths) in enumerate(parts, 2000):
        size = 100 * tenths
        read = read_of(port, size, ipv6=kind == "tcp6")
        if kind == "other size":
            read = read_of(port, size, segment_bytes=700)
        if kind == "udp":
            read = super_frame(port.to_bytes(2) * (size // 2), 1000 + 24, protocol=UDP)
        if kind == "plain":
            read = complete(read_of(port, min(size, 1000)))
        if kind == "numbered":
            fragile = bytearray(read)
            change(fragile, 20, b"\0\0")  # it may be fragmented: each of its packets has an id
            read = bytes(fragile)
        reads.append(read)
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    batches = send(outbound, session, reads)
    assert outbound.queue.size_bytes == 0
    assert receive(inbound, session, member, batches) == reads


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_short_super_frames_leave_in_batches_as_long_as_the_long_ones(count: int) -> None:
    reads = [read_of(port, 1000 * count) for port in range(2000, 2120)]
    outbound, inbound, session, member = ends()
    member.set_cap(20e9, 1.0)
    batches = send(outbound, session, reads)
    whole = -(-len(reads) * count // (MAX_BATCH_BYTES // (1000 + HEADERS + 24)))
    assert len(batches) == whole
    assert receive(inbound, session, member, batches) == reads


def test_on_a_fast_link_several_long_super_frames_are_sealed_as_one_run() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = [read_of(port, 60_000) for port in range(2000, 2006)]
    batches = send(outbound, session, reads)
    assert [-(-len(one.data) // one.datagram_bytes) for one in batches] == [60] * 6
    assert len(outbound.log) == 2  # of four and two batches
    assert outbound.log.held_bytes == 6 * SLAB_BYTES
    middle = outbound.log.find(100)
    assert middle is not None
    part = middle.part(100, 102)
    assert bytes(part) in bytes(batches[1].data)
    assert receive(inbound, session, member, batches) == reads


def test_what_is_sent_again_of_a_long_run_fits_batches() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = [read_of(port, 60_000) for port in range(2000, 2004)]
    first, *_ = send(outbound, session, reads)
    assert len(outbound.log) == 1
    outbound.repairs.set_rate(5e9)
    outbound.repairs.earn(1 << 30)
    outbound.repairs.on_nack(((0, 240),), 1.1)
    again: list[Transmit] = []
    for step in range(10):
        again += outbound.repairs.pull(1.2 + step / 10)
    assert max(len(one.data) for one in again) <= MAX_BATCH_BYTES
    assert max(len(one.data) // one.datagram_bytes for one in again) <= MAX_BATCH_DATAGRAMS
    assert b"".join(bytes(one.data) for one in again).startswith(bytes(first.data))
    out = receive(inbound, session, member, again)
    assert [frame for one in out for frame in cut_all(one)] == [
        frame for read in reads for frame in cut_all(read)
    ]


def test_single_segments_of_many_flows_share_a_batch_whether_they_are_pushed_or_not() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = []
    for port in range(2000, 2040):
        read = bytearray(read_of(port, 1000))
        read[VNET.size + 47] |= (port % 3 == 0) << 3
        reads.append(bytes(read))
    assert len(send(outbound, session, reads)) == 1
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    assert receive(inbound, session, member, send(outbound, session, reads)) == reads


def test_a_shorter_frame_ends_a_run_whatever_its_flow() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = [read_of(2000, 3000), read_of(2001, 500), read_of(2002, 2500), read_of(2003, 2000)]
    batches = send(outbound, session, reads)
    assert [-(-len(one.data) // one.datagram_bytes) for one in batches] == [4, 3, 2]
    assert receive(inbound, session, member, batches) == reads


def test_what_waits_for_another_run_comes_out_unchanged_and_in_order() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(20e9, 1.0)
    reads = [read_of(port, 1000 * (1 + port % 5)) for port in range(2000, 2060)]
    first, *others = send(outbound, session, reads)
    assert receive(inbound, session, member, others, own_path=False) == []
    out = receive(inbound, session, member, [first], own_path=False)
    assert [frame for one in out for frame in cut_all(one)] == [
        frame for read in reads for frame in cut_all(read)
    ]


@pytest.mark.parametrize("bad", [0, 1, 2, 3, 6])
def test_of_a_run_with_one_bad_tag_only_that_frame_is_lost(bad: int) -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = [read_of(2000, 2000), read_of(2001, 4000), read_of(2002, 1000)]
    (batch,) = send(outbound, session, reads)
    data = bytearray(batch.data)
    data[bad * batch.datagram_bytes + 100] ^= 1
    out = receive(inbound, session, member, [batch._replace(data=bytes(data))])
    inbound.mark(member, 7, 1.0)
    inbound.tick(2.0)
    out += [b"".join(vector) for vector in inbound.take()]
    frames = [frame for read in reads for frame in cut_all(read)]
    del frames[bad]
    got = [frame for one in out for frame in cut_all(one)]
    assert sorted(got) == sorted(frames)
    assert inbound._counters.drops() == {Drop.BAD_TAG.value: 1}


def test_plain_frames_and_partial_ones_go_in_runs_of_their_own() -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    plain = complete(read_of(2001, 1000))
    assert plain.startswith(VNET_PLAIN)
    reads = [read_of(2000, 3000), plain, read_of(2002, 3000)]
    batches = send(outbound, session, reads)
    assert len(batches) == 3
    assert receive(inbound, session, member, batches) == reads
