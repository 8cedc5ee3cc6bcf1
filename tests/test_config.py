"""The text of options, and files and options together, become a configuration or one sentence."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.config import ClientConfig, LinkConfig, ServerConfig
from wrrtun.core.errors import ConfigError
from wrrtun.keys import encode_key, parse_key, public_key_of
from wrrtun.load import load_client, load_server
from wrrtun.options import (
    count_up,
    parse_device,
    parse_interface_address,
    parse_link,
    parse_listen,
    parse_peer,
    parse_server,
)

CLIENT_KEY, SERVER_KEY, OTHER_KEY = (bytes([number] * 32) for number in (1, 2, 3))
PSK = bytes([4] * 32)
CLIENT_PUBLIC, SERVER_PUBLIC, OTHER_PUBLIC = (
    encode_key(public_key_of(key)) for key in (CLIENT_KEY, SERVER_KEY, OTHER_KEY)
)

CLIENT_FILE = f"""
server = "vps.example.net:51820"
server_key = "{SERVER_PUBLIC}"
key_file = "client.key"
link = ["eth0:10mbit/1mbit", "eth1:3"]
address = "10.9.0.2/24"
"""

SERVER_FILE = f"""
listen = 51820
key_file = "server.key"

[[peer]]
name = "home"
public_key = "{CLIENT_PUBLIC}"
psk_file = "psk"
address = ["10.9.0.1/24", "fd00::1/64"]
mtu = 1400

[[peer]]
name = "boat"
public_key = "{OTHER_PUBLIC}"
bridge = "br0"
"""


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand for /etc/wrrtun, with the key files in it."""
    monkeypatch.setattr("wrrtun.config.CONFIG_DIRECTORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, key in (("client.key", CLIENT_KEY), ("server.key", SERVER_KEY), ("psk", PSK)):
        path = tmp_path / name
        path.write_text(encode_key(key) + "\n")
        path.chmod(0o600)
    return tmp_path


def client_from(etc: Path, text: str, **options: object) -> ClientConfig:
    (etc / "client.toml").write_text(text)
    return load_client(None, options)


def server_from(etc: Path, text: str, **options: object) -> ServerConfig:
    (etc / "server.toml").write_text(text)
    return load_server(None, options)


# --link


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("eth0:10", LinkConfig("eth0", "eth0", None, 10, 10, None, None)),
        ("eth0:0:10", LinkConfig("eth0:0", "eth0:0", None, 10, 10, None, None)),
        ("eth0.7:2.5/.5", LinkConfig("eth0.7", "eth0.7", None, 2.5, 0.5, None, None)),
        (
            "eth0:10mbit/1",
            LinkConfig("eth0", "eth0", None, 10, 1, 10_000_000, None),
        ),
        (
            "wwan0:1.5gbit/800kbit",
            LinkConfig("wwan0", "wwan0", None, 1500, 0.8, 1_500_000_000, 800_000),
        ),
        (
            "192.0.2.7:3Mbit",
            LinkConfig("192.0.2.7", None, IPv4Address("192.0.2.7"), 3, 3, 3_000_000, 3_000_000),
        ),
        (
            "[2001:DB8:0::7]:64000bit",
            LinkConfig(
                "2001:db8::7", None, IPv6Address("2001:db8::7"), 0.064, 0.064, 64_000, 64_000
            ),
        ),
    ],
)
def test_a_link_is_a_place_and_two_weights(text: str, link: LinkConfig) -> None:
    assert parse_link(text) == link


devices = st.from_regex(r"[a-z][a-z0-9._-]{0,10}", fullmatch=True)
labels = st.builds("{}:{}".format, devices, st.integers(0, 99))
addresses = st.ip_addresses().filter(lambda ip: not (ip.is_multicast or ip.is_unspecified))
kilobits = st.integers(1, 10**9)  # 0.001 to 10**6 Mbit/s


def in_unit(kilobit: int, unit: str) -> str:
    """Write a rate in a unit, or a bare weight, as a decimal number without rounding."""
    digits = {"": 3, "bit": 0, "kbit": 0, "mbit": 3, "gbit": 6}[unit]
    whole, rest = divmod(kilobit * (1000 if unit == "bit" else 1), 10**digits)
    return f"{whole}.{rest:0{digits}d}{unit}" if digits else f"{whole}{unit}"


units = st.sampled_from(["", "bit", "kbit", "mbit", "gbit"])


@given(devices | labels | addresses, kilobits, units, kilobits, units)
def test_every_link_that_can_be_written_is_read_exactly(
    place: object, down: int, down_unit: str, up: int, up_unit: str
) -> None:
    written = f"[{place}]" if isinstance(place, IPv6Address) else str(place)
    link = parse_link(f"{written}:{in_unit(down, down_unit)}/{in_unit(up, up_unit)}")

    assert link.where == str(place)
    assert (link.address or link.device) == place
    assert (link.weight_down, link.weight_up) == (down / 1000, up / 1000)
    assert link.rate_down_bits_per_second == (down * 1000 if down_unit else None)
    assert link.rate_up_bits_per_second == (up * 1000 if up_unit else None)
    assert parse_link(f"{written}:{in_unit(up, up_unit)}").weight_down == up / 1000


@pytest.mark.parametrize("text", ["eth0", "eth0:auto", "192.0.2.7", "[2001:db8::7]:auto/auto"])
def test_a_link_without_numbers_has_its_rates_found(text: str) -> None:
    link = parse_link(text)
    assert (link.weight_down, link.weight_up) == (1.0, 1.0)
    assert link.rate_down_bits_per_second is None
    assert link.rate_up_bits_per_second is None


def test_one_direction_may_be_given_and_the_other_found() -> None:
    link = parse_link("eth0:auto/1mbit")
    assert (link.rate_down_bits_per_second, link.rate_up_bits_per_second) == (None, 1_000_000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' names no interface or address; write eth0"),
        ("[2001:db8::7", "names no interface or address"),
        ("eth0:0", "alias label it needs a weight too: eth0:0:10"),
        ("eth0:0/5", "'0' is out of range"),
        ("eth0:10/0", "'0' is out of range"),
        ("eth0:-1", "'-1' is no weight"),
        ("eth0:+1", "'+1' is no weight"),
        ("eth0:nan", "'nan' is no weight"),
        ("eth0:inf", "'inf' is no weight"),
        ("eth0:1e3", "'1e3' is no weight"),
        ("eth0:9999999999999999999", "is no weight"),
        ("eth0:1000001", "is out of range"),
        ("eth0:999bit", "is out of range"),
        ("eth0:", "'' is no weight"),
        ("eth0:10/", "'' is no weight"),
        ("eth0:10/1/1", "'1/1' is no weight"),
        ("eth0:10 mbit", "is no weight"),
        ("eth0:10mbps", "'mbps' is no unit; there are bit, kbit, mbit, gbit"),
        ("eth0:10Mbit/s", "'s' is no weight"),
        ("eth0:١", "is no weight"),
        (":10", "is not a device name"),
        ("eth 0:10", "is not a device name"),
        ("a-name-too-long-0:10", "is not a device name"),
        ("eth0:a-long-label:10", "is not a device name"),
        ("eth/0:10", "is not a device name"),
        ("..:10", "is not a device name"),
        ("wrr%d:10", "is not a device name"),
        ("eth0::10", "neither an interface nor an alias label"),
        ("300.0.2.7:10", "'300.0.2.7' is no IPv4 address"),
        ("192.0.2:10", "is no IPv4 address"),
        ("[192.0.2.7]:10", "is no IPv6 address"),
        ("[2001:db8::7:10", "names no interface or address"),
        ("2001:db8::7", "needs brackets, as [2001:db8::7]"),
        ("2001:db8::7:10", "needs brackets, as [2001:db8::7]"),
        ("0.0.0.0:10", "not the address of one machine"),
        ("[ff02::1]:10", "not the address of one machine"),
    ],
)
def test_a_wrong_link_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_link(text)
    assert why in str(caught.value)


# Invariant: any text is read or refused with ConfigError in one line; nothing else escapes.
@given(
    st.sampled_from(
        [parse_link, parse_listen, parse_server, parse_peer, parse_device, parse_interface_address]
    ),
    st.text(max_size=100) | st.text("ab01:[]/.%=-mit \n", max_size=30),
)
def test_arbitrary_text_is_read_or_refused(read: Callable[[str], object], text: str) -> None:
    message = ""
    try:
        read(text)
    except ConfigError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert len(message) < 400


# Addresses, ports and names


def test_a_server_listens_on_any_address_or_on_one() -> None:
    assert parse_listen("51820") == (None, 51820)
    assert parse_listen("192.0.2.1:1") == (ip_address("192.0.2.1"), 1)
    assert parse_listen("0.0.0.0:65535") == (ip_address("0.0.0.0"), 65535)
    assert parse_listen("[::]:51820") == (ip_address("::"), 51820)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "is not a port"),
        ("65536", "is not a port"),
        ("²", "is not a port"),
        ("", "is not a port"),
        ("192.0.2.1", "is not a port"),
        ("192.0.2.1:", "is not a port"),
        (":51820", "no address of this machine"),
        ("localhost:51820", "no address of this machine"),
        ("::1", "needs brackets"),
        ("[::1]", "has no port"),
        ("239.1.1.1:5", "not the address of one machine"),
    ],
)
def test_a_wrong_listen_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_listen(text)
    assert why in str(caught.value)


def test_a_server_is_a_host_and_a_port() -> None:
    assert parse_server("vps.example.net:51820") == ("vps.example.net", 51820)
    assert parse_server("192.0.2.1:1") == ("192.0.2.1", 1)
    assert parse_server("[2001:db8::1]:1") == ("2001:db8::1", 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vps.example.net", "has no port"),
        ("vps.example.net:http", "is not a port"),
        ("-vps:1", "names no host"),
        ("a..b:1", "names no host"),
        ("a b:1", "names no host"),
        (":1", "names no host"),
        ("fe80::1", "names no host"),
        ("2001:db8::1:1", "needs brackets"),
        ("1.2.3:1", "is no IPv4 address"),
        ("0.0.0.0:1", "not the address of one machine"),
        ("a" * 64 + ".net:1", "names no host"),
    ],
)
def test_a_wrong_server_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server(text)
    assert why in str(caught.value)


@pytest.mark.parametrize("text", ["10.9.0.1/24", "10.9.0.0/31", "10.9.0.1/32", "fd00::/64"])
def test_a_device_address_has_a_prefix_length(text: str) -> None:
    assert parse_interface_address(text) == ip_interface(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.9.0.1", "with a prefix length"),
        ("10.9.0.1/33", "with a prefix length"),
        ("home/24", "with a prefix length"),
        ("fe80::1%eth0/64", "with a prefix length"),
        ("10.9.0.0/24", "is a network"),
        ("10.9.0.255/24", "broadcast"),
        ("127.0.0.1/8", "that a device can have"),
        ("::/64", "that a device can have"),
        ("224.0.0.1/24", "that a device can have"),
    ],
)
def test_a_wrong_device_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_interface_address(text)
    assert why in str(caught.value)


def test_devices_are_counted_up_from_the_first() -> None:
    assert count_up("wrr0", 1) == ["wrr0"]
    assert count_up("wrr0", 3) == ["wrr0", "wrr1", "wrr2"]
    assert count_up("home9", 2) == ["home9", "home10"]
    assert count_up("tun", 1) == ["tun"]
    assert count_up("tun", 2) == ["tun0", "tun1"]
    with pytest.raises(ConfigError, match="device name"):
        count_up("fifteen-letter9", 2)


# Files and options together


def test_a_client_file_is_enough(etc: Path) -> None:
    config = client_from(etc, CLIENT_FILE)

    assert (config.server_host, config.server_port) == ("vps.example.net", 51820)
    assert config.server_public_key == parse_key(SERVER_PUBLIC)
    assert config.private_key == CLIENT_KEY
    assert config.psk == bytes(32)
    assert [link.where for link in config.links] == ["eth0", "eth1"]
    assert config.device == "wrr0"
    assert config.addresses == (ip_interface("10.9.0.2/24"),)
    assert (config.bridge, config.mtu, config.cipher) == (None, None, "auto")
    assert config.control_socket == Path("/run/wrrtun/client.sock")
    assert (config.limits.rekey_seconds, config.limits.reject_seconds) == (120, 180)


def test_options_are_enough_without_a_file(etc: Path) -> None:
    config = load_client(
        None,
        {
            "server": "192.0.2.1:51820",
            "server_key": SERVER_PUBLIC,
            "key_file": "client.key",
            "psk_file": "psk",
            "link": ["eth0:10"],
            "address": ["10.9.0.2/24", "fd00::2/64"],
            "socket": "run.sock",
            "cipher": "chacha20-poly1305",
        },
    )
    assert config.psk == PSK
    assert len(config.addresses) == 2
    assert config.control_socket == Path("run.sock")
    assert config.cipher == "chacha20-poly1305"


def test_options_win_over_the_file(etc: Path) -> None:
    config = client_from(etc, CLIENT_FILE, link=["eth2:5"], dev="bond7", mtu=1300)
    assert [link.where for link in config.links] == ["eth2"]
    assert (config.device, config.mtu) == ("bond7", 1300)
    assert config.server_port == 51820


def test_file_names_in_a_file_are_relative_to_it(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (etc / "client.toml").write_text(CLIENT_FILE + 'socket = "client.sock"\n')
    (etc / "elsewhere").mkdir()
    monkeypatch.chdir(etc / "elsewhere")
    config = load_client(etc / "client.toml", {})
    assert config.private_key == CLIENT_KEY
    assert config.control_socket == etc / "client.sock"
    with pytest.raises(ConfigError, match=r"cannot open client\.key"):
        load_client(etc / "client.toml", {"key_file": "client.key"})


def test_rekey_seconds_is_a_limit_of_the_file(etc: Path) -> None:
    limits = client_from(etc, CLIENT_FILE + "[limits]\nrekey_seconds = 2\n").limits
    assert (limits.rekey_seconds, limits.reject_seconds) == (2, 3)


def test_a_server_file_names_its_peers(etc: Path) -> None:
    config = server_from(etc, SERVER_FILE)

    assert (config.listen_address, config.listen_port) == (None, 51820)
    assert config.private_key == SERVER_KEY
    home, boat = config.peers
    assert (home.name, home.public_key, home.psk) == ("home", parse_key(CLIENT_PUBLIC), PSK)
    assert home.addresses == (ip_interface("10.9.0.1/24"), ip_interface("fd00::1/64"))
    assert (home.device, home.bridge, home.mtu) == ("wrr0", None, 1400)
    assert (boat.device, boat.bridge, boat.mtu, boat.psk) == ("wrr1", "br0", None, bytes(32))


def test_peers_without_a_device_get_the_names_that_are_left(etc: Path) -> None:
    text = SERVER_FILE.replace('name = "boat"', 'name = "boat"\ndev = "wrr0"')
    assert [peer.device for peer in server_from(etc, text).peers] == ["wrr1", "wrr0"]


def test_peers_of_the_command_line_count_their_devices_up(etc: Path) -> None:
    config = load_server(
        None,
        {
            "listen": "[::]:51820",
            "key_file": "server.key",
            "peer": [f"home={CLIENT_PUBLIC}", f"boat={OTHER_PUBLIC}"],
            "dev": "tap5",
            "address": ["10.9.0.1/24"],
            "psk_file": "psk",
            "mtu": 1300,
        },
    )
    home, boat = config.peers
    assert (home.name, home.device, home.mtu, home.psk) == ("home", "tap5", 1300, PSK)
    assert (boat.name, boat.device, boat.mtu, boat.psk) == ("boat", "tap6", 1300, PSK)
    assert home.addresses == (ip_interface("10.9.0.1/24"),)
    assert boat.addresses == ()


def test_peers_of_the_command_line_replace_those_of_the_file(etc: Path) -> None:
    config = server_from(etc, SERVER_FILE, peer=[f"car={OTHER_PUBLIC}"])
    assert [(peer.name, peer.device) for peer in config.peers] == [("car", "wrr0")]


def test_device_options_win_over_the_tables_of_the_file(etc: Path) -> None:
    home, boat = server_from(etc, SERVER_FILE, dev="tun", address=["10.8.0.1/24"]).peers
    assert (home.device, home.addresses) == ("tun0", (ip_interface("10.8.0.1/24"),))
    assert (boat.device, boat.addresses) == ("tun1", ())


def test_no_secret_is_in_a_configuration_that_is_printed(etc: Path) -> None:
    shown = repr(client_from(etc, CLIENT_FILE, psk_file="psk")) + repr(
        server_from(etc, SERVER_FILE)
    )
    for secret in (CLIENT_KEY, SERVER_KEY, PSK):
        assert repr(secret) not in shown
        assert encode_key(secret) not in shown


# Invariant: any file is a configuration or refused with ConfigError; nothing else escapes.
@given(
    st.dictionaries(
        st.sampled_from(["server", "link", "address", "mtu", "cipher", "limits", "dev", "linc"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_arbitrary_values_are_read_or_refused(values: dict[str, object]) -> None:
    good = {
        "server": "192.0.2.1:1",
        "server_key": SERVER_PUBLIC,
        "key_file": "client.key",
        "link": ["eth0:1"],
    }
    message = ""
    try:
        load_client(None, good | values)
    except ConfigError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
