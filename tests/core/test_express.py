"""Small frames on their way: what leaves together, and what comes of it at the other end."""

from wrrtun.core.batch import split
from wrrtun.core.express import Express
from wrrtun.core.handshake import SessionKeys
from wrrtun.core.member import Member
from wrrtun.core.opener import Opener
from wrrtun.core.paths import PathCheck
from wrrtun.core.seal import Suite
from wrrtun.core.session import Session
from wrrtun.core.slab import SlabPool

KEY = bytes(range(32))


def ends() -> tuple[Express, Session, Member]:
    keys = SessionKeys(Suite.AES_256_GCM, KEY, KEY, 7, 7, initiator=True)
    return Express(SlabPool()), Session(keys, 1.0), Member("peer", 1, 1.0, None, check(), 28, 1.0)


def check() -> PathCheck:
    return PathCheck(0, bytes)


def add(express: Express, size: int, mark: int, member: Member) -> None:
    express.add((bytes([mark]) * size,), 0, 0, [member], 1.0)


def test_frames_alike_share_a_batch_and_those_that_differ_begin_another() -> None:
    express, session, member = ends()
    for number, size in enumerate((60, 60, 60, 80, 60)):
        add(express, size, number, member)

    batches = express.pull(session, 1.0)

    assert [(len(one.data), one.datagram_bytes) for one in batches] == [
        (3 * 84, 84),
        (104, 104),
        (84, 84),
    ]
    opener = Opener(Suite.AES_256_GCM, KEY)
    runs = [run for one in batches for run in split(memoryview(one.data), one.datagram_bytes)]
    out = [one for run in runs for one in opener.open(run)[0]]
    assert [(one.seq, one.data[0], len(one.data)) for one in out] == [
        (0, 0, 60),
        (1, 1, 60),
        (2, 2, 60),
        (3, 3, 80),
        (4, 4, 60),
    ]


def test_a_batch_ends_where_one_system_call_would() -> None:
    express, session, member = ends()
    for _ in range(100):
        add(express, 60, 1, member)
    assert [len(one.data) // one.datagram_bytes for one in express.pull(session, 1.0)] == [64, 36]
    for _ in range(60):
        add(express, 1400, 1, member)
    assert [len(one.data) // one.datagram_bytes for one in express.pull(session, 1.0)] == [46, 14]
    assert express.frames == 160


def test_what_is_sent_by_several_links_is_charged_to_each_at_once() -> None:
    express, session, member = ends()
    other = Member("peer", 2, 1.0, None, check(), 28, 1.0)
    for one in (member, other, member):
        add(express, 60, 1, one)
    assert member.link.outgoing.bytes == 2 * (84 + 28)
    assert [one.link for one in express.pull(session, 1.0)] == [1, 2, 1]


def test_one_bad_tag_among_small_frames_costs_one_of_them() -> None:
    express, session, member = ends()
    for number in range(10):
        add(express, 60, number, member)
    (batch,) = express.pull(session, 1.0)
    data = bytearray(batch.data)
    data[6 * 84 + 20] ^= 1
    (run,) = split(memoryview(data), 84)
    opened, bad = Opener(Suite.AES_256_GCM, KEY).open(run)
    assert bad == 1
    assert [one.seq for one in opened] == [0, 1, 2, 3, 4, 5, 7, 8, 9]
