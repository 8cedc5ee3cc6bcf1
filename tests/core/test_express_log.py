"""What went express of late, and whom it goes to when its link has fallen silent."""

from wrrtun.core.express_log import ExpressLog
from wrrtun.core.member import Member
from wrrtun.core.output import Transmit
from wrrtun.core.paths import PathCheck


def member(number: int) -> Member:
    return Member("peer", number, 1.0, None, PathCheck(f"path {number}", bytes), 28, 10.0)


def sent(link: int, data: bytes) -> Transmit:
    return Transmit(link, f"path {link}", data, len(data))


def test_what_a_link_swallowed_goes_once_over_the_other() -> None:
    log, fast, slow = ExpressLog(), member(0), member(1)
    fast.link.on_received(1, 100, 10.100)
    log.add(sent(0, b"arrived"), 10.090)
    log.add(sent(0, b"swallowed"), 10.110)
    log.add(sent(1, b"on the other"), 10.120)
    log.add(sent(0, b"swallowed too"), 10.150)
    again = log.again(fast, slow, 10.180)
    assert [(one.link, one.path, bytes(one.data)) for one in again] == [
        (1, "path 1", b"swallowed"),
        (1, "path 1", b"swallowed too"),
    ]
    # Paced, but not counted: what came the first time would pass for this link's loss.
    assert slow.link.outgoing.bytes == len(b"swallowed" + b"swallowed too") + 2 * 28
    assert slow.link.outgoing.datagrams == 0
    assert log.again(fast, slow, 10.190) == []


def test_what_went_out_long_ago_is_left_to_its_sender() -> None:
    log, fast, slow = ExpressLog(), member(0), member(1)
    log.add(sent(0, b"a second ago"), 10.0)
    log.add(sent(0, b"just now"), 10.9)
    assert [bytes(one.data) for one in log.again(fast, slow, 11.0)] == [b"just now"]


def test_the_only_link_is_given_nothing_twice() -> None:
    log, fast = ExpressLog(), member(0)
    log.add(sent(0, b"swallowed"), 10.0)
    assert log.again(fast, fast, 10.1) == []
    assert log.again(fast, None, 10.1) == []
