import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.batch import split, split_strictly
from wrrtun.core.bond import Bond
from wrrtun.core.counters import Counters
from wrrtun.core.cutter import Cutter
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.handshake import SessionKeys
from wrrtun.core.inbound import Inbound
from wrrtun.core.join import gather
from wrrtun.core.member import Member
from wrrtun.core.opener import Opener
from wrrtun.core.paths import PathCheck
from wrrtun.core.seal import Sealer, Suite
from wrrtun.core.session import Session
from wrrtun.core.slab import Slab
from wrrtun.core.train import Train
from wrrtun.core.wire import CONTINUES, HEADER, SEQ_MASK, Kind

from .test_segment import super_frame

KEY = bytes(range(32))


def joined_batch(count: int = 20, suite: Suite = Suite.AES_256_GCM) -> tuple[bytearray, int]:
    """Seal a super-frame of `count` frames with seqs from 100; return it and the datagram size."""
    train = Train.parse(super_frame(bytes(1000 * count), 1000))
    assert train is not None
    frames, flags = Cutter().take(train, count)
    batch = Sealer(suite, KEY, 7).seal(Kind.BULK, flags, CONTINUES, 1, 100, frames)
    return bytearray(batch), len(frames[0]) + 24


@pytest.mark.parametrize("suite", Suite)
def test_a_datagram_is_header_ciphertext_and_tag_under_the_documented_nonce(suite: Suite) -> None:
    batch = Sealer(suite, KEY, 0x1234).seal(Kind.EXPRESS, 0, 0, 2, 0x0102030405, [b"a frame"])
    header = bytes.fromhex("22 1234 0102030405")
    order = ">" if suite is Suite.AES_256_GCM else "<"
    nonce = struct.pack(f"{order}4xQ", 2 << 56 | 0x0102030405)
    cipher = Opener(suite, KEY)._aead.cipher
    assert batch == header + cipher.encrypt(nonce, b"a frame", header)


@pytest.mark.parametrize("suite", Suite)
def test_what_is_sealed_where_it_was_cut_is_what_is_sealed_elsewhere(suite: Suite) -> None:
    train = Train.parse(super_frame(bytes(range(100)) * 197, 1000))
    assert train is not None
    slab = Slab()
    frames, flags = Cutter().take(train, 20, slab)
    run = (Kind.BULK, flags, CONTINUES, 1, 100)

    elsewhere = Sealer(suite, KEY, 7).seal(*run, [bytes(frame) for frame in frames])
    in_place = Sealer(suite, KEY, 7).seal(*run, frames, slab)

    assert bytes(in_place) == bytes(elsewhere)


def test_a_joined_run_is_opened_as_one_piece() -> None:
    batch, step = joined_batch()
    (run,) = split(memoryview(batch), step)
    assert (run.joined, run.count, run.seq, run.link, run.session) == (True, 20, 100, 1, 7)
    (opened,), bad = Opener(Suite.AES_256_GCM, KEY).open(run)
    assert (opened.count, opened.seq, bad) == (20, 100, 0)
    assert len(opened.data) == 66 + 20 * 1000


@given(st.integers(0, 19), st.integers(8, 1000), st.integers(0, 7))
def test_one_bad_tag_in_a_run_costs_one_datagram(index: int, byte: int, bit: int) -> None:
    batch, step = joined_batch()
    batch[index * step + byte] ^= 1 << bit
    (run,) = split_strictly(memoryview(batch), step)

    opened, bad = Opener(Suite.AES_256_GCM, KEY).open(run)

    assert bad == 1
    assert [one.seq for one in opened] == [100 + i for i in range(20) if i != index]
    assert all(len(one.data) == 1066 for one in opened)


def test_every_single_bit_flip_of_a_datagram_is_refused() -> None:
    datagram = Sealer(Suite.AES_256_GCM, KEY, 7).seal(Kind.BULK, 0, 0, 1, 5, [b"frame" * 5])
    opener = Opener(Suite.AES_256_GCM, KEY)
    for bit in range(len(datagram) * 8):
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        (run,) = split(memoryview(flipped), len(flipped))
        opened, bad = opener.open(run)
        assert (opened, bad) == ([], 1)
    (run,) = split(memoryview(datagram), len(datagram))
    assert len(opener.open(run)[0]) == 1


@pytest.mark.parametrize("size", range(25))
def test_a_truncated_datagram_is_refused(size: int) -> None:
    datagram = Sealer(Suite.AES_256_GCM, KEY, 7).seal(Kind.BULK, 0, 0, 1, 5, [b"frame"])
    (run,) = split(memoryview(datagram)[:size], size)
    if run.kind:
        assert Opener(Suite.AES_256_GCM, KEY).open(run) == ([], 1)
        with pytest.raises(PeerError) as caught:
            Opener(Suite.AES_256_GCM, KEY).open_message(run)
        assert caught.value.reason is Drop.BAD_TAG


def test_a_million_sends_with_lost_seqs_never_repeat_one_and_a_repeat_is_our_own_bug() -> None:
    sealer = Sealer(Suite.AES_256_GCM, KEY, 7)
    seq = 0
    for step in range(32_000):
        frames = [b"x"] * (1 + step * 7 % 64)
        sealer.seal(Kind.BULK, 0, 0, 1, seq, frames)
        seq += len(frames) + step % 3  # what a failed send has consumed stays consumed
    assert seq > 1_000_000
    with pytest.raises(AssertionError, match="sealed twice"):
        sealer.seal(Kind.BULK, 0, 0, 1, seq - 64, [b"x"] * 64)


def test_seqs_wrap_inside_a_batch() -> None:
    frames = [b"%03d" % i for i in range(10)]
    batch = Sealer(Suite.AES_256_GCM, KEY, 7).seal(Kind.BULK, 0, 0, 1, SEQ_MASK - 3, frames)
    opener = Opener(Suite.AES_256_GCM, KEY)
    out = []
    for run in split(memoryview(batch), 27):
        opened, bad = opener.open(run)
        assert bad == 0
        for one in opened:
            pieces = one.apart or [one.data]
            out += [(one.seq + step & SEQ_MASK, bytes(frame)) for step, frame in enumerate(pieces)]
    assert out == [((SEQ_MASK - 3 + i) & SEQ_MASK, frames[i]) for i in range(10)]


# Invariant: a batch is split into runs that cover every datagram once, whatever it holds.
@given(st.binary(min_size=1, max_size=3000), st.integers(1, 400))
def test_arbitrary_bytes_are_split_into_runs(data: bytes, step: int) -> None:
    runs = split(memoryview(data), step)
    assert b"".join(bytes(run.datagrams) for run in runs if run.kind or run.count) != b"" or data
    assert sum(len(run.datagrams) for run in runs) == len(data)
    opener = Opener(Suite.AES_256_GCM, KEY)
    for run in runs:
        if run.kind in (1, 2, 3):
            opened, bad = opener.open(run)
            assert opened == []
            assert bad == run.count


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=8))
def test_a_batch_of_several_super_frames_is_split_where_they_begin(
    pieces: list[tuple[int, int]],
) -> None:
    sealer = Sealer(Suite.AES_256_GCM, KEY, 7)
    batch, seq, expected = bytearray(), 0, []
    for hole, count in pieces:
        seq += hole
        train = Train.parse(super_frame(bytes(100 * count), 100))
        assert train is not None
        if count == 1:
            batch += sealer.seal(Kind.BULK, train.flags, 0, 1, seq, [train.frame])
        else:
            frames, flags = Cutter().take(train, count)
            batch += sealer.seal(Kind.BULK, flags, CONTINUES, 1, seq, frames)
        expected += [(seq + i) for i in range(count)]
        seq += count
    runs = split(memoryview(batch), 66 + 100 + 24)
    assert [run.seq + i for run in runs for i in range(run.count)] == expected
    opener = Opener(Suite.AES_256_GCM, KEY)
    opened = [one for run in runs for one in opener.open(run)[0]]
    assert sum(one.count for one in opened) == len(expected)


def test_two_super_frames_that_the_network_laid_end_to_end_stay_two() -> None:
    """As a card's GRO does with what came in two batches."""
    sealer, batch, wanted = Sealer(Suite.AES_256_GCM, KEY, 7), bytearray(), []
    for seq, letter in ((0, b"a"), (4, b"b")):
        train = Train.parse(super_frame(letter * 400, 100))
        assert train is not None
        frames, flags = Cutter().take(train, 4)
        batch += sealer.seal(Kind.BULK, flags, CONTINUES, 1, seq, frames)
        wanted.append(letter * 400)
    runs = split(memoryview(batch), 66 + 100 + 24)
    opener = Opener(Suite.AES_256_GCM, KEY)
    opened = [one for run in runs for one in opener.open(run)[0]]
    vectors = gather(opened)
    assert [b"".join(vector)[76:] for vector in vectors] == wanted


def test_a_replay_hidden_in_a_batch_that_looks_like_one_run_is_refused() -> None:
    """First and last header promise a fresh run; what lies between was delivered before."""
    old, step = joined_batch(8)
    bond, counters = Bond(), Counters()
    inbound = Inbound(bond, counters)
    member = Member("peer", 1, 1.0, None, PathCheck(0, bytes), 28, 1.0)
    bond.add(member)
    keys = SessionKeys(Suite.AES_256_GCM, KEY, KEY, 7, 7, initiator=True)
    session = Session(keys, 1.0)
    (run,) = split(memoryview(old), step)
    assert inbound.frames(session, member, run, True, 1.0) == 8

    hidden = bytearray(old)
    hidden[:8] = HEADER.pack(HEADER.unpack_from(old)[0] + 1000)
    last = 7 * step
    hidden[last : last + 8] = HEADER.pack(HEADER.unpack_from(old, last)[0] + 1000)
    (assumed,) = split(memoryview(hidden), step)
    assert assumed.count == 8
    assert inbound.frames(session, member, assumed, True, 1.0) == 0
    assert counters.drops() == {"bad_tag": 2, "replayed": 6}
