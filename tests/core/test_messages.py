"""Messages keep what they say, and bytes that say nothing are refused."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.messages import (
    Bye,
    ControlMessage,
    Cookie,
    Hello,
    Init,
    LinksAck,
    Marker,
    Nack,
    Probe,
    ProbeReply,
    Response,
    Welcome,
    encode_control,
    parse_control,
    parse_cookie,
    parse_hello,
    parse_init,
    parse_response,
    parse_welcome,
)
from wrrtun.core.offers import LinkOffer, LinkRole, LinkTable
from wrrtun.core.reports import LinkReport, Report
from wrrtun.core.size_messages import SizeProbe, SizeReply

U8, U16, U32, U40, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 40, 64))
TOKEN = st.binary(min_size=8, max_size=8)
ID = st.binary(min_size=16, max_size=16)
WEIGHT = st.integers(1, 2**32 - 1).map(lambda thousandths: thousandths / 1000)


@st.composite
def samples(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Up to eight samples, in the order of arrival, each near enough to the next."""
    steps = draw(st.lists(st.tuples(U16, st.integers(0, 2**24 - 1)), max_size=8))
    seq, at = draw(U40), draw(st.integers(0, 2**63))
    made = []
    for seq_step, at_step in steps:
        seq, at = (seq + seq_step) % 2**40, at + at_step
        made.append((seq, at))
    return tuple(made)


LINK_REPORTS = st.builds(LinkReport, st.integers(0, 14), U64, U64, U40, U16, samples())
PART = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
OFFERS = st.lists(
    st.builds(
        LinkOffer, st.integers(0, 14), WEIGHT, WEIGHT, U64, U64, st.sampled_from(LinkRole), PART
    ),
    min_size=1,
    max_size=15,
    unique_by=lambda offer: offer.number,
).map(tuple)
TABLES = st.builds(LinkTable, U32, st.integers(1, 15), OFFERS)
CONTROL: st.SearchStrategy[ControlMessage] = st.one_of(
    st.builds(Probe, U32, U64, U64, U40, TOKEN, U32),
    st.builds(ProbeReply, U32, U64, U64, U64, TOKEN),
    st.builds(Report, st.lists(LINK_REPORTS, max_size=15).map(tuple), st.booleans()),
    st.builds(Nack, st.lists(st.tuples(U40, st.integers(1, 65535)), max_size=64).map(tuple)),
    st.builds(Marker, U40),
    st.builds(Bye, U8),
    TABLES,
    st.builds(LinksAck, U32),
    st.builds(SizeProbe, U32, U16, st.binary(max_size=50)),
    st.builds(SizeReply, U32, st.binary(max_size=50)),
)
HELLOS = st.builds(Hello, U64, ID, ID, U40, U16, TABLES)

PROBE = Probe(
    probe_id=1,
    sent_us=2_000_000,
    sent_datagrams=3,
    next_bulk_seq=2**40 - 1,
    token=b"echoecho",
    rate_kbits=3000,
)
TABLE = LinkTable(
    7,
    2,
    (
        LinkOffer(0, 10.0, 1.0, 10_000_000, 1_000_000),
        LinkOffer(3, 0.001, 1e6, 0, 0, LinkRole.METERED, 0.25),
    ),
)
HELLO = Hello(
    timestamp_us=1_700_000_000_000_000,
    boot_id=b"b" * 16,
    cookie=bytes(16),
    next_bulk_seq=5,
    mtu=1400,
    table=TABLE,
)


def test_a_probe_has_these_bytes() -> None:
    assert encode_control(PROBE) == (
        b"\x01"
        b"\x00\x00\x00\x01"
        b"\x00\x00\x00\x00\x00\x1e\x84\x80"
        b"\x00\x00\x00\x00\x00\x00\x00\x03"
        b"\xff\xff\xff\xff\xff"
        b"echoecho"
        b"\x00\x00\x0b\xb8"
    )


def test_a_nack_has_these_bytes() -> None:
    nack = Nack(ranges=((7, 1), (2**32, 300)))
    assert encode_control(nack) == (
        b"\x04\x02\x00\x00\x00\x00\x07\x00\x01\x01\x00\x00\x00\x00\x01\x2c"
    )


def test_an_init_starts_with_its_wire_header() -> None:
    assert Init(suite=2, session=0xABCD, noise=b"noise").encode() == (
        b"\x8f\x00\x00\x00\x00\x00\x00\x00\x02\x02\xab\xcdnoise"
    )


@given(CONTROL)
def test_a_control_message_survives_the_wire(message: ControlMessage) -> None:
    assert parse_control(encode_control(message)) == message


@given(HELLOS)
def test_a_hello_survives_the_wire(hello: Hello) -> None:
    assert parse_hello(hello.encode()) == hello


def test_a_sample_too_far_before_the_next_is_left_out_with_those_before_it() -> None:
    far = ((1, 10), (2, 11), (65_538, 12), (65_539, 13))
    slow = ((1, 10), (2, 11), (3, 2**24 + 11))
    report = Report((LinkReport(0, 1, 2, 3, 4, far), LinkReport(1, 1, 2, 3, 4, slow)))
    read = parse_control(encode_control(report))
    assert isinstance(read, Report)
    assert [link.samples for link in read.links] == [far[2:], slow[2:]]


@given(session=st.integers(1, 65535), client=U16, sealed=st.binary(max_size=100))
def test_the_other_handshake_messages_survive_the_wire(
    session: int, client: int, sealed: bytes
) -> None:
    init = Init(1, session, sealed)
    response = Response(client, session, sealed)
    cookie = Cookie(client, b"n" * 24, b"s" * 32)
    welcome = Welcome(b"b" * 16, client, session)
    assert parse_init(init.encode()) == init
    assert parse_response(response.encode()) == response
    assert parse_cookie(cookie.encode()) == cookie
    assert parse_welcome(welcome.encode()) == welcome


EXAMPLES: list[tuple[Callable[[bytes], object], bytes, Drop]] = [
    (parse_control, encode_control(PROBE), Drop.BAD_MESSAGE),
    (parse_control, encode_control(ProbeReply(1, 2, 3, 4, bytes(8))), Drop.BAD_MESSAGE),
    (
        parse_control,
        encode_control(Report((LinkReport(0, 1, 2, 3, 4, ((5, 6), (7, 8))),) * 2)),
        Drop.BAD_MESSAGE,
    ),
    (parse_control, encode_control(Nack(((1, 2), (3, 4)))), Drop.BAD_MESSAGE),
    (parse_control, encode_control(Marker(1)), Drop.BAD_MESSAGE),
    (parse_control, encode_control(Bye(1)), Drop.BAD_MESSAGE),
    (parse_control, encode_control(TABLE), Drop.BAD_MESSAGE),
    (parse_control, encode_control(LinksAck(7)), Drop.BAD_MESSAGE),
    (parse_hello, HELLO.encode(), Drop.BAD_HANDSHAKE),
    (parse_welcome, Welcome(b"b" * 16, 1, 1400).encode(), Drop.BAD_HANDSHAKE),
    (parse_cookie, Cookie(1, bytes(24), bytes(32)).encode(), Drop.BAD_HANDSHAKE),
]


@pytest.mark.parametrize(("parse", "data", "refusal"), EXAMPLES)
def test_a_message_cut_anywhere_or_lengthened_is_refused(
    parse: Callable[[bytes], object], data: bytes, refusal: Drop
) -> None:
    for wrong in [data[:length] for length in range(len(data))] + [data + b"\0"]:
        with pytest.raises(PeerError) as caught:
            parse(wrong)
        assert caught.value.reason is refusal


@pytest.mark.parametrize(
    "message",
    [
        Report((LinkReport(15, 0, 0, 0, 0, ()),)),
        Report((LinkReport(0, 0, 0, 0, 0, ((0, 0),) * 9),)),
        Nack(((0, 1),) * 65),
        Nack(((0, 0),)),
    ],
)
def test_a_control_message_beyond_its_bounds_is_refused(message: ControlMessage) -> None:
    with pytest.raises(PeerError) as caught:
        parse_control(encode_control(message))
    assert caught.value.reason is Drop.BAD_MESSAGE


@pytest.mark.parametrize(
    "links",
    [
        (),
        (LinkOffer(15, 1.0, 1.0, 0, 0),),
        (LinkOffer(0, 0.0, 1.0, 0, 0),),
        (LinkOffer(0, 1.0, 1.0, 0, 0), LinkOffer(0, 2.0, 2.0, 0, 0)),
    ],
    ids=["none", "link 15", "no weight", "twice the same"],
)
def test_a_hello_with_impossible_links_is_refused(links: tuple[LinkOffer, ...]) -> None:
    hello = Hello(1, b"b" * 16, bytes(16), 0, 1400, LinkTable(0, 1, links))
    with pytest.raises(PeerError) as caught:
        parse_hello(hello.encode())
    assert caught.value.reason is Drop.BAD_HANDSHAKE


def test_another_version_and_session_0_are_refused() -> None:
    with pytest.raises(PeerError) as caught:
        parse_init(Init(1, 1, b"", version=99).encode())
    assert caught.value.reason is Drop.BAD_VERSION
    for parse, data in [
        (parse_init, Init(1, 0, b"").encode()),
        (parse_response, Response(1, 0, b"").encode()),
    ]:
        with pytest.raises(PeerError) as caught:
            parse(data)
        assert caught.value.reason is Drop.BAD_HANDSHAKE


def test_a_value_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(ValueError, match="1099511627776"):
        encode_control(Marker(2**40))


# Invariant: whatever arrives is parsed or refused with PeerError; nothing else escapes. What is
# parsed is exactly what would be written.
@given(
    st.sampled_from(EXAMPLES).flatmap(
        lambda example: st.tuples(
            st.just(example[0]),
            st.binary(max_size=200)
            | st.tuples(st.integers(0, len(example[1])), st.binary(max_size=60)).map(
                lambda cut: example[1][: cut[0]] + cut[1]
            ),
        )
    )
)
def test_arbitrary_bytes_are_parsed_or_refused(
    case: tuple[Callable[[bytes], ControlMessage | Hello | Welcome | Cookie], bytes],
) -> None:
    parse, data = case
    with contextlib.suppress(PeerError):
        message = parse(data)
        if isinstance(message, Hello | Welcome | Cookie):
            assert message.encode() == data
        else:
            assert encode_control(message) == data
