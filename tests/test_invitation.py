"""An invitation can be written down, dictated and read back; each mistake is found, and where."""

import random
from ipaddress import IPv6Address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.errors import ConfigError
from wrrtun.invitation import ALPHABET, Invitation, decode, encode

SERVER_KEY = bytes(range(32))
GOOD = Invitation(
    host="203.0.113.10",
    port=51820,
    server_key=SERVER_KEY,
    secret=bytes(range(100, 120)),
    addresses=(ip_interface("10.80.16.2/30"),),
)
LINE = encode(GOOD)


def groups() -> list[str]:
    return LINE.removeprefix("wrr1:").split("-")


hosts = st.ip_addresses().map(str) | st.from_regex(
    r"[a-z][a-z0-9]{0,20}\.[a-z]{2,5}", fullmatch=True
)
addresses = st.sampled_from(
    [("10.0.0.2/30",), ("10.0.0.2/24", "fd00::2/64"), ("fd12:3456::2/64",)]
).map(lambda texts: tuple(ip_interface(text) for text in texts))


@given(
    st.builds(
        Invitation,
        host=hosts,
        port=st.integers(1, 65535),
        server_key=st.binary(min_size=32, max_size=32),
        secret=st.binary(min_size=20, max_size=20),
        addresses=addresses,
        own_key=st.booleans(),
    )
)
def test_what_was_written_is_read(invitation: Invitation) -> None:
    assert decode(encode(invitation)) == invitation


def test_a_line_may_be_typed_carelessly() -> None:
    careless = LINE.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert decode("  wrr1: " + careless.split(":", 1)[1].strip() + "\n") == GOOD
    assert decode("WRR1:" + "".join(groups())) == GOOD


def test_one_wrong_character_is_found_with_its_group() -> None:
    for place, group in enumerate(groups()):
        for index, right in enumerate(group):
            for wrong in ALPHABET.replace(right, ""):
                changed = groups()
                changed[place] = group[:index] + wrong + group[index + 1 :]
                with pytest.raises(ConfigError, match=rf"group {place + 1} is wrong"):
                    decode("wrr1:" + "-".join(changed))


def test_two_swapped_neighbours_are_found_with_their_group() -> None:
    for place, group in enumerate(groups()):
        for index in range(len(group) - 1):
            one, other = group[index], group[index + 1]
            changed = groups()
            changed[place] = group[:index] + other + one + group[index + 2 :]
            if one != other:
                with pytest.raises(ConfigError, match=rf"group {place + 1} is wrong"):
                    decode("wrr1:" + "-".join(changed))


def test_a_group_that_is_missing_doubled_or_elsewhere_is_found() -> None:
    parts = groups()
    for changed in (parts[:3] + parts[4:], parts[:3] + parts[2:], [parts[1], parts[0], *parts[2:]]):
        with pytest.raises(ConfigError, match=r"group \d+ is wrong"):
            decode("wrr1:" + "-".join(changed))
    with pytest.raises(ConfigError, match="not whole"):
        decode("wrr1:" + "-".join(parts[:-1]))
    with pytest.raises(ConfigError, match=r"group 2 has 5 characters"):
        decode("wrr1:" + "-".join([parts[0], parts[1][:5], *parts[2:]]))


@pytest.mark.parametrize("text", ["", "hello", "wrr2:" + LINE[5:], "wrr1:", "wrr1:" + "0" * 2000])
def test_what_is_no_invitation_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        decode(text)


# Invariant: any text is an invitation or refused with ConfigError, which does not repeat it.
@given(st.text(max_size=200) | st.text(ALPHABET + "- ", max_size=200).map("wrr1:".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    message = ""
    try:
        decode(text)
    except ConfigError as error:
        message = str(error)
    assert len(text) < 9 or text not in message


def test_many_mistakes_are_found_by_the_checksum() -> None:
    draw = random.Random(7)
    for _attempt in range(2000):
        changed = [
            "".join(draw.choice(ALPHABET) if draw.random() < 0.3 else c for c in group)
            for group in groups()
        ]
        if changed != groups():
            with pytest.raises(ConfigError):
                decode("wrr1:" + "-".join(changed))


def test_both_keys_come_from_the_secret_and_differ() -> None:
    other = Invitation("h", 1, bytes(32), GOOD.secret, GOOD.addresses)
    keys = {GOOD.client_key, GOOD.psk, other.client_key, other.psk}
    assert len(keys) == 4
    assert GOOD.secret.hex() not in repr(GOOD)
    assert decode(LINE).client_key == GOOD.client_key


def test_an_ipv6_server_can_be_named() -> None:
    host = str(IPv6Address("2001:db8::10"))
    assert decode(encode(Invitation(host, 1, SERVER_KEY, bytes(20), GOOD.addresses))).host == host
