import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.batch import split
from wrrtun.core.cutter import Cutter
from wrrtun.core.headers import complete_checksum, locate, sum_words
from wrrtun.core.join import Opened, gather
from wrrtun.core.opener import Opener
from wrrtun.core.seal import Sealer, Suite
from wrrtun.core.train import Train
from wrrtun.core.vnet import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    VNET,
)
from wrrtun.core.wire import CONTINUES, MAX_BATCH_BYTES, OVERHEAD_BYTES, PARTIAL, Kind

TCP, UDP = 6, 17


def fold(total: int) -> int:
    """Fold a sum of 16-bit words as RFC 1071 does."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def super_frame(
    payload: bytes, segment_bytes: int, *, ipv6: bool = False, protocol: int = TCP, flags: int = 16
) -> bytes:
    """Make what a TAP delivers: virtio-net header, Ethernet, IP, TCP (with timestamps) or UDP."""
    transport_bytes = 32 if protocol == TCP else 8
    length = transport_bytes + len(payload)
    if protocol == TCP:
        transport = struct.pack("!HHIIBBHHH", 4000, 80, 0xFFFFF000, 7, 8 << 4, flags, 500, 0, 0)
        transport += b"\1\1\x08\x0a" + bytes(range(8))
        at = 16
    else:
        transport = struct.pack("!HHHH", 4000, 443, length, 0)
        at = 6
    source, target = (bytes(range(16)), bytes(range(16, 32))) if ipv6 else (b"\x0a\x09\0\1",) * 2
    pseudo = sum_words(source + target + struct.pack("!II", length, protocol))
    transport = transport[:at] + pseudo.to_bytes(2) + transport[at + 2 :]
    if ipv6:
        network = struct.pack("!IHBB", 6 << 28, length, protocol, 64) + source + target
    else:
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0xFFFE, 0x4000, 64, protocol, 0)
        checksum = ~sum_words(network + source + target) & 0xFFFF
        network = network[:10] + checksum.to_bytes(2) + source + target
    frame = b"\x02" * 12 + (b"\x86\xdd" if ipv6 else b"\x08\x00") + network + transport
    start = 14 + len(network)
    gso = 0
    if len(payload) > segment_bytes:
        gso = GSO_UDP_L4 if protocol == UDP else GSO_TCPV6 if ipv6 else GSO_TCPV4
        if flags & 0x80 and protocol == TCP:
            gso |= GSO_ECN
    vnet = VNET.pack(
        NEEDS_CHECKSUM, gso, len(frame) if gso else 0, segment_bytes if gso else 0, start, at
    )
    return vnet + frame + payload


def cut_all(read: bytes, run: int = 64) -> list[bytes]:
    train = Train.parse(read)
    assert train is not None
    if train.count == 1:
        return [bytes(train.frame)]
    cutter = Cutter()
    run = min(run, MAX_BATCH_BYTES // (train.frame_bytes + OVERHEAD_BYTES))
    frames = []
    while train.left:
        frames += [bytes(frame) for frame in cutter.take(train, min(run, train.left))[0]]
    return frames


def assert_checksums_are_right(frame: bytes) -> None:
    headers = locate(frame)
    assert headers is not None
    whole = bytearray(frame)
    complete_checksum(whole, headers.transport, headers.checksum_offset)
    length = len(frame) - headers.transport
    addresses = frame[22:54] if headers.ipv6 else frame[26:34]
    pseudo = addresses + struct.pack("!II", length, headers.protocol)
    assert fold(sum_words(pseudo) + sum_words(whole[headers.transport :])) == 0xFFFF
    if not headers.ipv6:
        assert sum_words(frame[14 : headers.transport]) == 0xFFFF


def assert_they_carry(frames: list[bytes], payload: bytes, header_bytes: int) -> None:
    for frame in frames:
        assert_checksums_are_right(frame)
    assert b"".join(frame[header_bytes:] for frame in frames) == payload


SHAPES = st.tuples(
    st.booleans(), st.sampled_from([TCP, UDP]), st.integers(1, 60_000), st.integers(100, 1400)
)


@given(SHAPES, st.integers(1, 64))
def test_every_frame_cut_from_a_super_frame_is_complete_and_the_payload_is_all_there(
    shape: tuple[bool, int, int, int], run: int
) -> None:
    ipv6, protocol, size, segment_bytes = shape
    payload = bytes(i * 7 & 0xFF for i in range(size))
    read = super_frame(payload, segment_bytes, ipv6=ipv6, protocol=protocol)
    train = Train.parse(read)
    assert train is not None
    promised = train.size_bytes

    frames = cut_all(read, run)

    assert sum(map(len, frames)) == promised
    assert_they_carry(frames, payload, len(read) - VNET.size - size)


@given(
    st.tuples(st.booleans(), st.integers(1, 60_000), st.integers(100, 1400)),
    st.integers(100, 1500),
)
def test_tcp_that_was_cut_too_long_is_cut_anew_and_its_payload_is_all_there(
    shape: tuple[bool, int, int], most: int
) -> None:
    ipv6, size, segment_bytes = shape
    payload = bytes(i * 7 & 0xFF for i in range(size))
    read = super_frame(payload, segment_bytes, ipv6=ipv6)
    train = Train.parse(read)
    assert train is not None
    assert train.shorten(most)
    promised = train.size_bytes

    cutter = Cutter()
    frames = []
    while train.left and train.count > 1:
        frames += [bytes(frame) for frame in cutter.take(train, min(40, train.left))[0]]
    frames = frames or [bytes(train.frame)]

    assert max(map(len, frames)) <= most
    assert sum(map(len, frames)) == promised
    assert_they_carry(frames, payload, len(read) - VNET.size - size)


def test_what_cannot_be_cut_elsewhere_is_not() -> None:
    datagrams = Train.parse(super_frame(bytes(5000), 1400, protocol=UDP))
    assert datagrams is not None
    assert not datagrams.shorten(1300)
    begun = Train.parse(super_frame(bytes(5000), 1400))
    assert begun is not None
    Cutter().take(begun, 1)
    assert not begun.shorten(1300)
    plain = Train.parse(VNET.pack(0, 0, 0, 0, 0, 0) + super_frame(bytes(1400), 1400)[VNET.size :])
    assert plain is not None
    assert not plain.shorten(1300)
    assert plain.shorten(1500)


def without_dont_fragment(read: bytes) -> bytes:
    """Let the packet in a TAP read (Ethernet, IPv4) be fragmented."""
    changed = bytearray(read)
    changed[VNET.size + 20] &= ~0x40
    changed[VNET.size + 24 : VNET.size + 26] = bytes(2)
    checksum = ~sum_words(changed[VNET.size + 14 : VNET.size + 34]) & 0xFFFF
    changed[VNET.size + 24 : VNET.size + 26] = checksum.to_bytes(2)
    return bytes(changed)


@pytest.mark.parametrize("run", [1, 3, 64])
def test_with_dont_fragment_the_ip_id_stays(run: int) -> None:
    frames = cut_all(super_frame(bytes(30_000), 1000), run)
    assert {frame[18:20] for frame in frames} == {b"\xff\xfe"}
    for frame in frames:
        assert_checksums_are_right(frame)


@pytest.mark.parametrize("run", [1, 3, 64])
def test_tcp_seqs_and_ip_ids_count_up_and_wrap(run: int) -> None:
    frames = cut_all(without_dont_fragment(super_frame(bytes(5000), 1000)), run)
    for frame in frames:
        assert_checksums_are_right(frame)
    assert [int.from_bytes(f[38:42]) for f in frames] == [
        0xFFFFF000 + 1000 * i & 0xFFFFFFFF for i in range(5)
    ]
    assert [int.from_bytes(f[18:20]) for f in frames] == [0xFFFE, 0xFFFF, 0, 1, 2]


def test_push_and_fin_go_on_the_last_frame_and_congestion_window_reduced_on_the_first() -> None:
    frames = cut_all(super_frame(bytes(2500), 1000, flags=0x80 | 0x10 | 0x09))
    assert [frame[47] for frame in frames] == [0x80 | 0x10, 0x10, 0x10 | 0x09]


@given(SHAPES, st.integers(1, 64), st.sampled_from(Suite))
def test_what_was_cut_sealed_opened_and_joined_is_the_super_frame_again(
    shape: tuple[bool, int, int, int], run: int, suite: Suite
) -> None:
    ipv6, protocol, size, segment_bytes = shape
    read = super_frame(bytes(size), segment_bytes, ipv6=ipv6, protocol=protocol, flags=0x98)
    sealer, opener = Sealer(suite, bytes(32), 7), Opener(suite, bytes(32))
    train, cutter = Train.parse(read), Cutter()
    assert train is not None
    opened: list[Opened] = []
    seq = 3
    while train.left:
        if train.count == 1:
            frames: list[bytearray | memoryview] = [memoryview(train.frame)]
            flags = train.pass_on(1)
        else:
            frames, flags = cutter.take(train, min(run, train.left))
        batch = sealer.seal(Kind.BULK, flags, CONTINUES, 1, seq, frames)
        for part in split(memoryview(batch), len(frames[0]) + 24):
            got, bad = opener.open(part)
            assert bad == 0
            opened += got
        seq += len(frames)

    vectors = gather(opened)

    assert b"".join(bytes(part) for vector in vectors for part in vector) == read


def test_frames_of_two_super_frames_are_not_joined() -> None:
    sealer, opener = Sealer(Suite.AES_256_GCM, bytes(32), 7), Opener(Suite.AES_256_GCM, bytes(32))
    opened: list[Opened] = []
    seq = 0
    for _ in range(2):
        train = Train.parse(super_frame(bytes(3000), 1000))
        assert train is not None
        frames, flags = Cutter().take(train, 3)
        batch = sealer.seal(Kind.BULK, flags, CONTINUES, 1, seq, frames)
        for run in split(memoryview(batch), len(frames[0]) + 24):
            opened += opener.open(run)[0]
        seq += 3
    assert len(gather(opened)) == 2


def test_the_frame_behind_a_dropped_one_starts_a_super_frame_of_its_own() -> None:
    train = Train.parse(super_frame(bytes(5000), 1000))
    assert train is not None
    cutter = Cutter()
    assert cutter.take(train, 2)[1] == PARTIAL
    train.drop_one()
    assert cutter.take(train, 1)[1] == PARTIAL
    assert cutter.take(train, 1)[1] == CONTINUES


def test_a_checksum_that_the_far_end_could_not_find_is_finished_here() -> None:
    frame = b"\x02" * 12 + b"\x88\xb5" + bytes(range(20))
    train = Train.parse(VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 14, 6) + frame)
    assert train is not None
    assert train.flags == 0
    assert fold(sum_words(bytes(train.frame)[14:]) + 0x0607) == 0xFFFF


@pytest.mark.parametrize(
    "read",
    [
        b"",
        bytes(10),
        bytes(23),
        VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 60, 16) + bytes(40),
        VNET.pack(NEEDS_CHECKSUM, GSO_TCPV4, 54, 1000, 34, 16) + bytes(3000),
        super_frame(bytes(3000), 1000).replace(VNET.pack(1, 1, 66, 1000, 34, 16), bytes(10), 1)[
            :20
        ],
    ],
)
def test_what_cannot_be_carried_is_refused_whole(read: bytes) -> None:
    assert Train.parse(read) is None


@given(st.binary(max_size=200))
def test_whatever_a_tap_delivers_is_cut_or_refused(read: bytes) -> None:
    train = Train.parse(read)
    if train is not None:
        while train.left:
            if train.count > 1:
                Cutter().take(train, 1)
            else:
                train.pass_on(1)
        assert train.size_bytes == 0


@given(st.binary(min_size=2, max_size=99))
def test_sum_words_is_the_one_s_complement_sum_of_rfc_1071(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(a << 8 | b for a, b in zip(padded[::2], padded[1::2], strict=True))
    assert sum_words(data) == fold(total)


def test_the_ip_ids_of_a_long_train_never_repeat() -> None:
    frames = cut_all(without_dont_fragment(super_frame(bytes(60_000), 536)))
    ids = [int.from_bytes(frame[18:20]) for frame in frames]
    assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(ids))
