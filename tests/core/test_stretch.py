"""Frames that are alike go together, and come out as they would have one by one."""

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.batch import split
from wrrtun.core.bond import Bond
from wrrtun.core.counters import Counters
from wrrtun.core.cutter import cut_datagrams
from wrrtun.core.errors import Drop
from wrrtun.core.flight import Flight
from wrrtun.core.handshake import SessionKeys
from wrrtun.core.headers import Buffer, complete_checksum, sum_words
from wrrtun.core.inbound import Inbound
from wrrtun.core.link_state import LinkState
from wrrtun.core.member import Member
from wrrtun.core.outbound import Outbound
from wrrtun.core.output import Transmit
from wrrtun.core.paths import PathCheck
from wrrtun.core.reads import LEAST_ALIKE, MAX_READS, Reads
from wrrtun.core.seal import Suite
from wrrtun.core.session import Session
from wrrtun.core.vnet import GSO_UDP_L4, NEEDS_CHECKSUM, VNET, VNET_PLAIN
from wrrtun.core.wire import Kind

from .test_segment import UDP, super_frame

KEY = bytes(32)
ACK_PSH = 0x18


def datagram(payload: bytes, number: int = 0, *, port: int = 443, ipv6: bool = False) -> bytes:
    """Make one TAP read of UDP with a partial checksum; `number` is its IP id."""
    read = bytearray(super_frame(payload, 2000, protocol=UDP, ipv6=ipv6))
    if not ipv6:
        change(read, 18, number.to_bytes(2))
    at = VNET.size + (54 if ipv6 else 34)
    read[at + 2 : at + 4] = port.to_bytes(2)
    return bytes(read)


def change(read: bytearray, at: int, value: bytes) -> None:
    """Put other bytes into an IPv4 header, and make its checksum right."""
    read[VNET.size + at : VNET.size + at + len(value)] = value
    read[VNET.size + 24 : VNET.size + 26] = bytes(2)
    checksum = ~sum_words(read[VNET.size + 14 : VNET.size + 34]) & 0xFFFF
    read[VNET.size + 24 : VNET.size + 26] = checksum.to_bytes(2)


def complete(read: bytes) -> bytes:
    """Finish a partial checksum, as frames from a wire have it."""
    frame = bytearray(read[VNET.size :])
    complete_checksum(frame, *VNET.unpack_from(read)[4:])
    return VNET_PLAIN + bytes(frame)


def acknowledgement(number: int) -> bytes:
    read = bytearray(super_frame(b"", 1000))
    read[VNET.size + 42 : VNET.size + 46] = (2**31 - number).to_bytes(4)
    return bytes(read)


def ends() -> tuple[Outbound, Inbound, Session, Member]:
    bond = Bond()
    member = Member("peer", 1, 1.0, None, PathCheck(0, bytes), 28, 1.0)
    bond.add(member)
    member.link.state = LinkState.UP
    bond.refresh()
    counters = Counters()
    outbound = Outbound(bond, counters, 0, 1514)
    outbound.set_weight(member, 1.0)
    session = Session(SessionKeys(Suite.AES_256_GCM, KEY, KEY, 7, 7, initiator=True), 1.0)
    return outbound, Inbound(bond, counters), session, member


def send(
    outbound: Outbound, session: Session, reads: list[bytes], now: float = 1.0
) -> list[Transmit]:
    """Have one wake-up read all of it; return what leaves."""
    room = Reads()
    for read in reads:
        room.add(read)
    outbound.intake.submit(room, True, now)
    sent = pull(outbound, session, now)
    for index in range(len(room)):
        room.read(index)[:] = bytes(len(room.read(index)))
    return sent


def pull(outbound: Outbound, session: Session, now: float) -> list[Transmit]:
    """Return what leaves, its bytes as they are now."""
    sent = [one._replace(data=bytes(one.data)) for one in outbound.pull(session, now)]
    outbound.settle()
    return sent


def receive(inbound: Inbound, session: Session, member: Member, batches: list[Transmit]) -> None:
    for batch in batches:
        for run in split(memoryview(batch.data), batch.datagram_bytes):
            assert inbound.frames(session, member, run, True, 1.0) == run.count


def singles(vectors: list[list[Buffer]]) -> list[bytes]:
    """Cut what is for the TAP into single reads, as the far kernel would."""
    return [b"".join(single) for vector in vectors for single in cut_datagrams(vector)]


def carry(reads: list[bytes]) -> tuple[list[Transmit], list[list[bytes]]]:
    """Send reads of one wake-up from end to end; return the batches and the vectors."""
    outbound, inbound, session, member = ends()
    batches = send(outbound, session, reads)
    for tenth in range(11, 60):
        batches += pull(outbound, session, tenth / 10)
        member.flight = Flight()  # all has arrived
    receive(inbound, session, member, batches)
    return batches, [[bytes(part) for part in vector] for vector in inbound.take()]


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("size", [1, 64, 1300])
def test_a_flood_of_datagrams_comes_out_as_super_frames_that_cut_into_what_went_in(
    ipv6: bool, size: int
) -> None:
    reads = [datagram(bytes([number]) * size, number, ipv6=ipv6) for number in range(64)]
    batches, vectors = carry(reads)
    assert len(batches) == len(vectors)
    assert size == 1300 or len(batches) == 1
    assert all(vector[0][1] == GSO_UDP_L4 for vector in vectors)
    assert singles([[*vector] for vector in vectors]) == without_ids(reads, vectors)


def without_ids(reads: list[bytes], vectors: list[list[bytes]]) -> list[bytes]:
    """Return the reads as packets that may not be fragmented come out: with their first's id."""
    if reads[0][VNET.size + 12 : VNET.size + 14] != b"\x08\x00":
        return reads
    out, at = [], 0
    for vector in vectors:
        count = len(singles([[*vector]]))
        for read in reads[at : at + count]:
            changed = bytearray(read)
            change(changed, 18, reads[at][VNET.size + 18 : VNET.size + 20])
            out.append(bytes(changed))
        at += count
    return out


def test_ids_that_count_up_are_kept_where_packets_may_be_fragmented() -> None:
    def fragile(number: int) -> bytes:
        read = bytearray(datagram(b"x" * 64, number))
        change(read, 20, b"\0\0")
        return bytes(read)

    reads = [fragile(0xFFF0 + number & 0xFFFF) for number in range(32)]
    _, vectors = carry(reads)
    assert len(vectors) == 1
    assert singles([[*vector] for vector in vectors]) == reads

    jumping = [fragile(7 * number) for number in range(32)]
    batches, vectors = carry(jumping)
    assert len(batches) == 1
    assert [b"".join(vector) for vector in vectors] == jumping


def test_frames_whose_checksum_is_complete_share_a_batch_and_come_out_apart() -> None:
    reads = [complete(datagram(bytes([number]) * 64, number)) for number in range(20)]
    reads[7] = reads[7][:-1] + b"?"  # wrong, and it stays so
    batches, vectors = carry(reads)
    assert len(batches) == 1
    assert [b"".join(vector) for vector in vectors] == reads


def test_a_wrong_ip_checksum_is_not_made_right() -> None:
    reads = [datagram(bytes([number]) * 64, number) for number in range(20)]
    reads[7] = reads[7][: VNET.size + 24] + b"??" + reads[7][VNET.size + 26 :]
    _, vectors = carry(reads)
    assert [b"".join(vector) for vector in vectors] == reads
    _, vectors = carry([reads[7]] * 20)
    assert [b"".join(vector) for vector in vectors] == [reads[7]] * 20


def test_acknowledgements_share_a_batch_and_come_out_apart() -> None:
    reads = [acknowledgement(1000 * number) for number in range(20)]
    batches, vectors = carry(reads)
    assert [len(batch.data) // batch.datagram_bytes for batch in batches] == [20]
    assert [b"".join(vector) for vector in vectors] == reads


def test_datagrams_of_many_flows_share_a_batch() -> None:
    reads = [datagram(b"%064d" % number, number, port=number % 16) for number in range(64)]
    batches, vectors = carry(reads)
    assert [len(batch.data) // batch.datagram_bytes for batch in batches] == [64]
    assert [b"".join(vector) for vector in vectors] == reads


def test_what_many_flows_send_beyond_express_s_share_is_bulk_from_then_on() -> None:
    outbound, _, session, member = ends()
    member.set_cap(1e6, 1.0)
    reads = [datagram(b"%0200d" % number, number, port=number % 16) for number in range(40)]
    batches = send(outbound, session, reads, 2.0)
    express = [one for one in batches if bytes(one.data)[0] >> 4 & 3 == Kind.EXPRESS]
    admitted = sum(len(one.data) // one.datagram_bytes for one in express)
    assert admitted == 4000 // (242 + 24 + 28)
    sent = sum(len(one.data) // one.datagram_bytes for one in batches)
    assert outbound.queue.size_bytes // 242 + sent == 40
    batches = send(outbound, session, reads[:2], 2.5)
    assert not [one for one in batches if bytes(one.data)[0] >> 4 & 3 == Kind.EXPRESS]


def test_frames_of_one_batch_whose_checksums_lie_elsewhere_keep_them() -> None:
    twins = [datagram(bytes([number]) * 24, number, port=33) for number in range(3)]
    reads = [*map(acknowledgement, range(3)), *twins, *map(acknowledgement, range(3, 6))]
    assert len({len(read) for read in reads}) == 1
    batches, vectors = carry(reads)
    assert len(batches) == 1
    assert [b"".join(vector) for vector in vectors] == reads


def test_what_differs_in_anything_but_its_number_begins_a_stretch_of_its_own() -> None:
    def other(at: int, value: bytes) -> bytes:
        read = bytearray(datagram(b"x" * 64, 3))
        change(read, at, value)
        return bytes(read)

    plain = datagram(b"x" * 64, 3)
    for odd in (
        other(0, b"\x04"),  # to another station
        other(15, b"\x08"),  # DSCP
        other(22, b"\x3f"),  # hops left
        other(26, b"\x0b"),  # source
        other(33, b"\x07"),  # target
        datagram(b"x" * 64, 3, port=444),
        plain[: VNET.size + 40] + b"\0\0" + plain[VNET.size + 42 :],  # checksum
    ):
        _, vectors = carry([plain] * 5 + [odd] + [plain] * 5)
        assert singles([[*vector] for vector in vectors]) == [plain] * 5 + [odd] + [plain] * 5
        assert odd in [b"".join(vector) for vector in vectors]


def test_small_datagrams_behind_bulk_of_their_flow_stay_behind_it() -> None:
    reads = [datagram(bytes([number]) * 1000, number) for number in range(10)]
    reads += [datagram(bytes([number]) * 64, number) for number in range(10, 20)]
    batches, vectors = carry(reads)
    assert all(bytes(batch.data)[0] >> 4 & 3 == Kind.BULK for batch in batches)
    out = singles([[*vector] for vector in vectors])
    assert [single[VNET.size + 42] for single in out] == list(range(20))


def test_of_a_stretch_the_queue_takes_what_it_has_room_for_and_the_rest_is_counted() -> None:
    outbound, _, session, member = ends()
    member.set_cap(1e6, 1.0)
    outbound.queue.limit_bytes = 10_000
    reads = [datagram(bytes([number]) * 1000, number) for number in range(30)]
    sent = sum(len(one.data) // one.datagram_bytes for one in send(outbound, session, reads))
    waiting = outbound.queue.size_bytes // 1042
    assert sent + waiting == 10_000 // 1042
    assert outbound._counters.drops() == {Drop.QUEUE_FULL.value: 30 - 10_000 // 1042}


def test_express_of_a_stretch_is_admitted_frame_by_frame() -> None:
    outbound, _, session, member = ends()
    member.set_cap(1e6, 1.0)  # a fifth of it for a tenth of a second, or 4000 bytes
    reads = [datagram(bytes([number]) * 200, number) for number in range(40)]
    batches = send(outbound, session, reads, 2.0)
    express = [one for one in batches if bytes(one.data)[0] >> 4 & 3 == Kind.EXPRESS]
    count = sum(len(one.data) // one.datagram_bytes for one in express)
    assert count == 4000 // (242 + 24 + 28)
    assert outbound.queue.size_bytes // 242 + sum(
        len(one.data) // one.datagram_bytes for one in batches
    ) == len(reads)


kinds = st.sampled_from(("udp", "other", "plain", "ack", "twin", "six", "bulk"))


# Invariant: whatever one wake-up reads comes out once, each flow in its order, byte for byte but
# for the ids of packets that may not be fragmented.
@given(st.lists(st.tuples(kinds, st.integers(1, 30)), min_size=1, max_size=8))
def test_every_frame_of_a_wake_up_comes_out_once_and_in_its_flow_s_order(
    parts: list[tuple[str, int]],
) -> None:
    make: dict[str, Callable[[int], bytes]] = {
        "udp": lambda number: datagram(number.to_bytes(2) * 32, number),
        "other": lambda number: datagram(number.to_bytes(2) * 32, number, port=99),
        "plain": lambda number: complete(datagram(number.to_bytes(2) * 32, number, port=77)),
        "ack": acknowledgement,
        "twin": lambda number: datagram(number.to_bytes(2) * 12, number, port=33),  # as long
        "six": lambda number: datagram(number.to_bytes(2) * 32, ipv6=True),
        "bulk": lambda number: datagram(number.to_bytes(2) * 300, number, port=55),
    }
    names = [name for name, count in parts for _ in range(count)][:MAX_READS]
    reads = [make[name](number) for number, name in enumerate(names)]
    _, vectors = carry(reads)
    out = [without_id(single) for single in singles([[*vector] for vector in vectors])]
    assert sorted(out) == sorted(map(without_id, reads))
    for name in set(names):
        flow = [without_id(read) for read, one in zip(reads, names, strict=True) if one == name]
        places = [out.index(one) for one in flow]
        assert all(first < second for first, second in pairwise(places))


def without_id(read: bytes) -> bytes:
    changed = bytearray(read)
    if read[VNET.size + 12 : VNET.size + 14] == b"\x08\x00":
        change(changed, 18, b"\0\0")
    return bytes(changed)


def segment(port: int, payload: bytes, *, ipv6: bool = False, ef: bool = False) -> bytes:
    """Make one TAP read of TCP, of the flow that this port says."""
    read = bytearray(super_frame(payload, 2000, ipv6=ipv6))
    at = VNET.size + (54 if ipv6 else 34)
    read[at : at + 2] = port.to_bytes(2)
    if ipv6:
        read[VNET.size + 14 : VNET.size + 18] = (0x6 << 28 | port).to_bytes(4)  # and its label
    if ef:
        change(read, 15, b"\xb8")
    return bytes(read)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("payload", [b"", b"x" * 1000])
def test_tcp_of_as_many_flows_as_frames_leaves_in_one_batch(payload: bytes, ipv6: bool) -> None:
    outbound, _, session, member = ends()
    member.set_cap(1e9, 1.0)
    reads = [segment(port, payload, ipv6=ipv6) for port in range(2000, 2040)]
    (batch,) = send(outbound, session, reads)
    assert len(batch.data) == len(reads) * batch.datagram_bytes
    _, vectors = carry(reads)
    assert [b"".join(vector) for vector in vectors] == reads


def test_super_frames_tcp_that_is_marked_ef_and_frames_of_another_kind_are_each_looked_at() -> None:
    reads = Reads()
    plain = acknowledgement(1)
    marked = [segment(port, b"", ef=True) for port in (2000, 2001)]
    twin = datagram(b"x" * (len(plain) - VNET.size - 42))
    for read in (*[plain] * 4, *marked, *[twin] * 4):
        reads.add(read)
    found = [(start, end, equal is not None) for start, end, equal in reads.stretches()]
    assert found == [(0, 4, True)] + [(index, index + 1, False) for index in range(4, 10)]
    assert reads.equal_part(4) is None
    assert reads.equal_part(6) is not None
    reads.clear()
    for _ in range(5):
        reads.add(super_frame(b"x" * 3000, 1000))
    assert all(end - start == 1 and equal is None for start, end, equal in reads.stretches())


def test_few_frames_are_looked_at_one_by_one_and_reads_end_at_a_quarter_of_a_megabyte() -> None:
    reads = Reads()
    for number in range(LEAST_ALIKE - 1):
        reads.add(datagram(b"x", number))
    assert list(reads.stretches()) == [(0, 1, None), (1, 2, None), (2, 3, None)]
    reads.clear()
    while reads.rooms(MAX_READS):
        reads.add(bytes(60_000))
    assert len(reads) == 5
    reads.clear()
    assert [len(reads.rooms(most)) for most in (1, 8, 64)] == [1, 8, 8]
    reads.add(bytes(76))
    assert [len(reads.rooms(most)) for most in (1, 8, 64)] == [0, 7, 32]


def test_a_wake_up_reads_what_takes_it_a_time_if_more_than_that_waits() -> None:
    reads, now = Reads(), 0.0

    def wake(bytes_per_second: float, waiting: int) -> int:
        """Read and carry; return how many super-frames were read."""
        nonlocal now
        reads.begin(now)
        while (rooms := reads.rooms(MAX_READS)) and waiting:
            some = rooms[:waiting]
            waiting -= len(some)
            for _ in some:
                reads.add(bytes(60_000))
        count = len(reads)
        now += 60_000 * count / bytes_per_second
        reads.clear()
        return count

    assert [wake(200e6, 1000) for _ in range(3)] == [8, 16, 16]  # 4 ms, to the next chunk
    assert [wake(200e6, 1000), wake(20e6, 1000), wake(20e6, 1000)] == [16, 16, 8]
    assert max(wake(1e12, 1000) for _ in range(10)) == 40
    assert wake(1e12, 10) == 10  # nothing was left: the next may come at any time
    now += 60.0
    assert [wake(1e12, 1000), wake(1e12, 1000)] == [40, 40]
    now += 60.0
    assert wake(1e12, 1000) == 8


def test_a_kernel_without_super_frames_of_datagrams_gets_them_one_by_one() -> None:
    head = struct.pack("<BBHHHH", NEEDS_CHECKSUM, GSO_UDP_L4, 42, 500, 34, 6)
    whole = super_frame(bytes(range(256)) * 200, 500, protocol=UDP)
    assert whole.startswith(head[:2])
    frames = cut_datagrams([whole[:50], whole[50:]])
    assert len(frames) == 103
    assert all(frame[0][1] == 0 and frame[0][0] == NEEDS_CHECKSUM for frame in frames)
    assert b"".join(bytes(frame[1])[42:] for frame in frames) == whole[VNET.size + 42 :]
    other = [VNET_PLAIN, b"a frame"]
    assert cut_datagrams(other) == [other]
