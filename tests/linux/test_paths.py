from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from wrrtun.linux.paths import Path, path_bytes, path_local_text, path_text, unmapped

MAPPED = Path(("::ffff:192.0.2.7", 4000, 0, 0), ip_address("::ffff:192.0.2.1").packed)
PLAIN = Path(("192.0.2.7", 4000), ip_address("192.0.2.1").packed)
SIX = Path(("2001:db8::7", 4000, 0, 0), ip_address("2001:db8::1").packed)


def test_a_sender_over_ipv4_is_the_same_one_on_a_socket_of_both_families() -> None:
    assert path_bytes(MAPPED) == path_bytes(PLAIN) == b"\xc0\x00\x02\x07\x0f\xa0"
    assert path_text(MAPPED) == path_text(PLAIN) == "192.0.2.7:4000"
    assert path_local_text(MAPPED) == path_local_text(PLAIN) == "192.0.2.1"


def test_an_ipv6_sender_is_18_bytes_and_written_in_brackets() -> None:
    assert path_bytes(SIX) == ip_address("2001:db8::7").packed + b"\x0f\xa0"
    assert path_text(SIX) == "[2001:db8::7]:4000"
    assert path_local_text(SIX) == "2001:db8::1"


def test_a_link_local_sender_keeps_its_device_apart_but_not_in_a_cookie() -> None:
    through_two, through_three = (Path(("fe80::1", 4000, 0, scope), b"") for scope in (2, 3))
    assert through_two != through_three
    assert path_bytes(through_two) == path_bytes(through_three)


def test_an_unknown_local_address_reads_as_nothing() -> None:
    assert path_local_text(Path(("192.0.2.7", 4000), b"")) == ""


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_every_ipv4_sender_has_the_same_bytes_mapped_or_not(address: object, port: int) -> None:
    mapped = Path((f"::ffff:{address}", port, 0, 0), b"")
    assert path_bytes(mapped) == path_bytes(Path((str(address), port), b""))
    assert len(path_bytes(mapped)) == 6
    assert unmapped(ip_address(f"::ffff:{address}")) == address
