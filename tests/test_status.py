"""The status snapshot survives its JSON and reads well."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.errors import WrrtunError
from wrrtun.status import (
    DeviceStatus,
    LinkStatus,
    PeerStatus,
    QueueStatus,
    ReorderStatus,
    SessionStatus,
    Snapshot,
    duration,
    milliseconds,
    percent,
    scaled,
)

ADSL = LinkStatus(
    number=0,
    name="eth0",
    state="up",
    reason="",
    local_address="192.0.2.7:41234",
    remote_address="203.0.113.1:51820",
    weight=10,
    rate_bits_per_second=9_800_000,
    rate_state="steady",
    rate_in_bits_per_second=990_000,
    mtu_bytes=1492,
    rtt_seconds=0.0221,
    rtt_variation_seconds=0.0004,
    skew_seconds=0.0,
    loss_in=0.0,
    loss_out=0.001,
    sent_bytes=1_234_567_890,
    received_bytes=98_765_432,
    sent_datagrams=881_834,
    received_datagrams=120_001,
    share=0.769,
)
LTE = msgspec.structs.replace(
    ADSL,
    number=1,
    name="wwan0",
    state="down",
    reason="no carrier",
    local_address=None,
    weight=2.5,
    rate_bits_per_second=None,
    rate_state="searching",
    rate_in_bits_per_second=None,
    mtu_bytes=None,
    rtt_seconds=None,
    rtt_variation_seconds=None,
    skew_seconds=None,
    loss_in=None,
    loss_out=None,
    sent_bytes=0,
    received_bytes=512,
    sent_datagrams=0,
    received_datagrams=4,
    share=None,
)
PEER = PeerStatus(
    name="vps",
    device=DeviceStatus(
        name="wrr0",
        mtu=1500,
        offloads=["csum", "tso4"],
        sent_frames=880_000,
        sent_bytes=1_200_000_000,
        received_frames=119_000,
        received_bytes=90_000_000,
    ),
    session=SessionStatus(
        up=True,
        local_id=0x1A2B3C,
        remote_id=0x00F1,
        age_seconds=42.7,
        rekeys=3,
        cipher="aes-256-gcm",
    ),
    links=[ADSL, LTE],
    reorder=ReorderStatus(
        held_frames=12,
        held_bytes=16_800,
        hold_seconds=0.063,
        released=119_000,
        late=7,
        gaps_given_up_by_inference=31,
        gaps_given_up_by_deadline=2,
    ),
    queue=QueueStatus(
        bytes=52_000,
        delay_seconds=0.0405,
        bulk_frames=800_000,
        express_frames=80_000,
        dropped=19,
        superseded_acks=7,
    ),
    drops={"queue_delay": 19, "replayed": 2, "bad_tag": 2},
)
SNAPSHOT = Snapshot(
    role="client", version="0.1.0", uptime_seconds=11_520.5, peers=[PEER], drops={"bad_mac": 5}
)

TEXT = """\
wrrtun 0.1.0 client, up 3 h 12 min

peer vps: session up, 42 s old, 3 rekeys, aes-256-gcm, ids 1a2b3c / f1
device wrr0: mtu 1500, offloads csum tso4; sent 880000 frames, 1.2 GB; received 119000 frames, 90.0 MB

link     state  weight   share    rate out       rate in            rtt    skew  lost in  lost out
0 eth0   up         10  76.9 %  9.8 Mbit/s  990.0 kbit/s  22.1 ms ± 0.4  0.0 ms    0.0 %     0.1 %
1 wwan0  down      2.5       -           -             -              -       -        -         -

link     from             to                  mtu    sent  datagrams  received  datagrams
0 eth0   192.0.2.7:41234  203.0.113.1:51820  1492  1.2 GB     881834   98.8 MB     120001
1 wwan0  -                203.0.113.1:51820     -     0 B          0     512 B          4
link 1 wwan0 is down: no carrier

reorder: 12 frames held (16.8 kB), hold 63.0 ms; 119000 released, 7 late; given up: 31 by inference, 2 at the deadline
repair: 0 repaired, asked 0 times; sent again 0, asked 0 times, refused 0
queue: 52.0 kB, delay 40.5 ms; 800000 bulk and 80000 express frames, 19 dropped, 7 acknowledgements superseded
drops: queue_delay 19, bad_tag 2, replayed 2

dropped before any peer was known: bad_mac 5
"""  # noqa: E501 - the lines are as wide as they are printed


def test_a_snapshot_reads_well() -> None:
    assert SNAPSHOT.to_text() == TEXT


def test_a_server_without_sessions_says_so() -> None:
    session = SessionStatus(
        up=False, local_id=None, remote_id=None, age_seconds=None, rekeys=0, cipher=None
    )
    waiting = msgspec.structs.replace(PEER, session=session, links=[], drops={})
    snapshot = Snapshot(
        role="server", version="0.1.0", uptime_seconds=5, peers=[PEER, waiting], drops={}
    )
    lines = snapshot.to_text().splitlines()
    assert lines[0] == "wrrtun 0.1.0 server, up 5 s"
    assert "peer vps: no session" in lines
    assert lines[-1] == "drops: none"


def test_a_snapshot_survives_its_json() -> None:
    document = SNAPSHOT.to_json()
    assert b"\n" not in document
    assert Snapshot.from_json(document) == SNAPSHOT


figures = st.none() | st.floats(0, 1e15)
counts = st.integers(0, 2**63)
links = st.builds(
    LinkStatus,
    weight=st.floats(0.001, 1e6),
    rate_bits_per_second=figures,
    rate_state=st.just("steady"),
    rate_in_bits_per_second=figures,
    rtt_seconds=figures,
    rtt_variation_seconds=figures,
    skew_seconds=figures,
    loss_in=figures,
    loss_out=figures,
    share=figures,
    sent_bytes=counts,
    received_bytes=counts,
)


@given(st.lists(links, max_size=15))
def test_every_link_survives_json_and_has_its_line(links: list[LinkStatus]) -> None:
    peer = msgspec.structs.replace(PEER, links=links)
    snapshot = msgspec.structs.replace(SNAPSHOT, peers=[peer])
    read = Snapshot.from_json(snapshot.to_json())
    assert read == snapshot
    assert read.to_text() == snapshot.to_text()


def test_a_newer_daemons_unknown_keys_are_let_be() -> None:
    document = msgspec.json.decode(SNAPSHOT.to_json()) | {"weather": "fine"}
    assert Snapshot.from_json(msgspec.json.encode(document)) == SNAPSHOT


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b'{"role": 5}', b"{}", b"\xff", b'"\xff"', b"[" * 100_000],
)
def test_an_answer_that_is_no_snapshot_is_refused(document: bytes) -> None:
    with pytest.raises(WrrtunError, match="no status snapshot"):
        Snapshot.from_json(document)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_long_time_has_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1.25e9, "1.2 GB"),
        (3e21, "3000000.0 PB"),
    ],
)
def test_sizes_have_decimal_prefixes(value: float | None, text: str) -> None:
    assert scaled(value, "B") == text


def test_small_figures_have_one_decimal() -> None:
    assert (milliseconds(0.0221), milliseconds(None)) == ("22.1 ms", "-")
    assert (percent(0.03), percent(None)) == ("3.0 %", "-")
