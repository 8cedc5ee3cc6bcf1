"""Servers are made, clients invited, joined and sent away, by files alone."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wrrtun.config_edit import add_peer, remove_peer
from wrrtun.core.errors import ConfigError
from wrrtun.enrol import NewServer, init, invite, join, pick_networks, revoke
from wrrtun.invitation import Invitation, decode, encode
from wrrtun.keys import encode_key, generate_key, parse_key, public_key_of, write_key_file
from wrrtun.load import load_client, load_server
from wrrtun.options import parse_network

NETWORKS = tuple(parse_network(text) for text in ("10.80.16.0/20", "fd12:3456:789a::/48"))
LINKS = ["eth0:10mbit/1mbit", "wwan0:3"]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "vps" / "server.toml"
    init(path, NewServer("51820", "203.0.113.10:51820", NETWORKS, nat=True))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home" / "client.toml"


def invited(server: Path, name: str = "home", **more: object) -> Invitation:
    """Invite a client, and hand the line over."""
    key = more.get("key")
    assert key is None or isinstance(key, str)
    return decode(encode(invite(server, name, os.urandom, key, [])))


def test_a_new_server_can_be_started_and_its_files_are_its_owners_alone(server: Path) -> None:
    config = load_server(server, {})
    assert (config.listen_port, config.nat, config.peers) == (51820, True, ())
    assert config.public == ("203.0.113.10", 51820)
    assert [path.stat().st_mode & 0o777 for path in server.parent.iterdir()] == [0o600, 0o600]
    with pytest.raises(ConfigError, match="never overwritten"):
        init(server, NewServer("51820", "203.0.113.10:51820", NETWORKS, nat=True))


def test_both_ends_of_an_invitation_have_the_same_keys(server: Path, home: Path) -> None:
    join(home, invited(server), LINKS, {"route": "all", "nat": True}, None)

    (peer,) = load_server(server, {}).peers
    client = load_client(home, {})
    assert public_key_of(client.private_key) == peer.public_key
    assert client.psk == peer.psk != bytes(32)
    assert client.server_public_key == public_key_of(load_server(server, {}).private_key)
    assert (client.server_host, client.server_port) == ("203.0.113.10", 51820)
    assert [str(address) for address in peer.addresses] == [
        "10.80.16.1/30",
        "fd12:3456:789a::1/64",
    ]
    assert [str(address) for address in client.addresses] == [
        "10.80.16.2/30",
        "fd12:3456:789a::2/64",
    ]
    assert [str(via) for via in client.routing.via] == ["10.80.16.1", "fd12:3456:789a::1"]
    assert client.nat
    assert {path.stat().st_mode & 0o777 for path in home.parent.iterdir()} == {0o600}
    with pytest.raises(ConfigError, match="move it away"):
        join(home, invited(server, "again"), LINKS, {}, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_makes_in_a_daemons_directory_is_the_daemons(server: Path, home: Path) -> None:
    for path in (server, home):
        path.parent.mkdir(exist_ok=True)
        for made in (path.parent, *path.parent.iterdir()):
            os.chown(made, 65534, 65534)
    join(home, invited(server), LINKS, {}, None)
    for path in (server, home):
        assert {made.stat().st_uid for made in path.parent.iterdir()} == {65534}
    os.chown(home.with_name("client.key"), 1, 1)
    with pytest.raises(ConfigError, match="belongs to user 1"):
        load_client(home, {})


def test_every_client_gets_a_network_of_its_own_and_free_ones_are_used_again(server: Path) -> None:
    for name in ("a", "b", "c"):
        invited(server, name)
    revoke(server, "b")
    assert not server.with_name("b.psk").exists()
    invited(server, "d")
    peers = load_server(server, {}).peers
    assert [(peer.name, str(peer.addresses[0]), peer.device) for peer in peers] == [
        ("a", "10.80.16.1/30", "wrr0"),
        ("c", "10.80.16.9/30", "wrr2"),
        ("d", "10.80.16.5/30", "wrr1"),
    ]


def test_a_client_with_a_key_of_its_own_tells_it_to_nobody(server: Path, home: Path) -> None:
    home.parent.mkdir()
    key = generate_key()
    write_key_file(home.with_name("mine.key"), key)
    public = public_key_of(parse_key(key))
    invitation = invited(server, key=encode_key(public))
    with pytest.raises(ConfigError, match="--key-file"):
        join(home, invitation, LINKS, {}, None)
    join(home, invitation, LINKS, {}, home.with_name("mine.key"))
    assert load_server(server, {}).peers[0].public_key == public
    assert load_client(home, {}).private_key == parse_key(key)


def test_a_join_that_fails_leaves_nothing(server: Path, home: Path) -> None:
    with pytest.raises(ConfigError, match="is no weight"):
        join(home, invited(server), ["eth0:x"], {}, None)
    assert list(home.parent.iterdir()) == []


def test_a_name_is_invited_once(server: Path) -> None:
    invited(server)
    before = server.read_text()
    with pytest.raises(ConfigError, match="known already"):
        invited(server)
    with pytest.raises(ConfigError, match="a peer's name is"):
        invited(server, "no/place")
    with pytest.raises(ConfigError, match="there are: home"):
        revoke(server, "boat")
    assert server.read_text() == before


def test_what_the_owner_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    text = (
        '# mine\nlisten = 5 # five\n\n[[peer]] # first\nname = "a"\n\n[limits]\nrekey_seconds = 9'
    )
    path.write_text(text)
    path.chmod(0o640)
    add_peer(path, {"name": "b", "mtu": 1400, "nat": True, "address": ["x", "y"]})
    assert path.read_text().startswith(text)
    remove_peer(path, "b")
    assert path.read_text() == text + "\n"
    remove_peer(path, "a")
    assert path.read_text() == "# mine\nlisten = 5 # five\n[limits]\nrekey_seconds = 9\n"
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(ConfigError, match="there are: none"):
        remove_peer(path, "a")


names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
heads = st.sampled_from(["", "listen = 5\n", "# [[peer]]\n\n", "[limits]\nrekey_seconds = 9 # s"])


# Invariant: the peer that was added is gone, and everything else is as it was.
@given(heads, st.lists(names, unique=True, max_size=4), names)
def test_a_peer_that_came_and_went_changes_nothing(head: str, others: list[str], name: str) -> None:
    assume(name not in others)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "server.toml")
        path.write_text(head)
        for other in others:
            add_peer(path, {"name": other, "address": [other, "x"], "mtu": 5})
        before = path.read_text()
        add_peer(path, {"name": name})
        remove_peer(path, name)
        assert path.read_text().rstrip("\n") == before.rstrip("\n")


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use .*: (File exists|Not a directory)"):
        init(tmp_path / "file" / "server.toml", NewServer("1", "vps:1", NETWORKS, nat=True))


@pytest.mark.parametrize(
    "text",
    ['peer = [{name = "a"}]\n', '[[peer]]\nname = "a"\nnote = """\n[[peer]]\n"""\n'],
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        remove_peer(path, "a")
    assert path.read_text() == text


def test_the_network_is_one_that_this_machine_does_not_know() -> None:
    draws = iter([b"\x00\x10", b"\x07\x20", b"\x01\x02\x03\x04\x05"])
    taken = [parse_network("10.0.0.0/16"), parse_network("fe80::/64")]
    networks = pick_networks(taken, lambda count: next(draws), ipv6=True)
    assert [str(network) for network in networks] == ["10.7.32.0/20", "fd01:203:405::/48"]


def test_a_full_network_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    init(path, NewServer("1", "vps.example.net:1", (parse_network("10.0.0.0/30"),), nat=False))
    invited(path, "a")
    with pytest.raises(ConfigError, match="no room"):
        invited(path, "b")
    assert not (tmp_path / "b.psk").exists()
