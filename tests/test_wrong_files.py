"""Forty mistakes that people make in a file: one sentence with the key, the line and the remedy.

The same sentence from `wrrtun check-config` as from the daemon, and never a traceback.
"""

import re
import sys
from pathlib import Path

import pytest

from tests.test_cli import (
    CLIENT_FILE,
    CLIENT_KEY,
    PSK,
    ROUTED,
    SERVER_FILE,
    SERVER_KEY,
    SERVER_PUBLIC,
    Started,
    run,
    sentence,
)
from wrrtun.keys import encode_key, public_key_of

BOAT = f"[[peer]]\nname = 'boat'\npublic_key = '{encode_key(public_key_of(PSK))}'\n"
HOME = SERVER_FILE + "address = '10.9.0.1/24'\n"
BLOCK = ROUTED + "route = 'all'\nwhen_down = 'block'\n"

# The file; its line (None: the mistake is what is missing) and its key; what to do about it.
Mistake = tuple[str, int | None, str, str]

CLIENT: list[Mistake] = [
    # TOML as people write it
    ("server = vps.example.net:51820\n", 1, "server", "text stands in quotes"),
    (CLIENT_FILE + "nat = yes\n", 6, "nat", "true and false"),
    (CLIENT_FILE + "address = 10.9.0.2/24\n", 6, "address", "text stands in quotes"),
    (CLIENT_FILE + "mtu: 1400\n", 6, "mtu", "a line is key = value"),
    (CLIENT_FILE + "mtu 1400\n", 6, "mtu", "a line is key = value"),
    (CLIENT_FILE + "mtu = 1400,\n", 6, "mtu", "a line has one key"),
    (CLIENT_FILE + 'dev = "wrr\n', 6, "dev", "text ends with a quote"),
    (CLIENT_FILE + 'link = "eth1"\n', 6, "link", 'write a list, as ["eth0", "eth1"]'),
    ('link = ["eth0" "eth1"]\n', 1, "link", "has commas"),
    (CLIENT_FILE + "[limits\nrekey_seconds = 5\n", 6, "", "a table is [name]"),
    (ROUTED + "[limits]\n[limits]\n", 8, "", "write it once"),
    # A key in the wrong place, or under a wrong name
    (ROUTED + "[limits]\nrekey_seconds = 60\nnat = true\n", 9, "nat", "above the first [table]"),
    (ROUTED + "[gateways]\nroute = 'all'\n", 8, "route", "above the first [table]"),
    (CLIENT_FILE + "listen = 51820\n", 6, "listen", "it is a server's"),
    (CLIENT_FILE + "rekey_seconds = 60\n", 6, "rekey_seconds", "below [limits]"),
    (CLIENT_FILE + "on_up = 'true'\n", 6, "on_up", "below [hooks]"),
    (CLIENT_FILE.replace("server_key", "server-key"), 3, "server-key", "did you mean server_key?"),
    (ROUTED + "[hook]\non_up = 'true'\n", 7, "hook", "did you mean hooks?"),
    # Values
    (CLIENT_FILE.replace(":51820", ""), 2, "server", "write HOST:PORT"),
    (CLIENT_FILE.replace('"vps.', '"https://vps.'), 2, "server", "write HOST:PORT"),
    (CLIENT_FILE.replace(SERVER_PUBLIC, "abc"), 3, "server_key", "44 characters of base64"),
    (CLIENT_FILE.replace("client.key", "none.key"), 4, "key_file", "wrrtun genkey --out makes one"),
    (CLIENT_FILE.replace("client.key", "loose"), 4, "key_file", "chmod 600"),
    (CLIENT_FILE.replace("eth0:10", "eth0:10mb"), 5, "link", "there are bit, kbit, mbit, gbit"),
    (CLIENT_FILE.replace("eth0:10", "eth0,metered"), 5, "link", "write metered=10GB"),
    (CLIENT_FILE.replace('"eth0:10"', '["eth0", "eth0"]'), 5, "link", "once is enough"),
    (CLIENT_FILE.replace("eth0:10", "wrr0"), 5, "link", "name another one"),
    (CLIENT_FILE + "address = '10.9.0.2'\n", 6, "address", "with a prefix length, such as"),
    (CLIENT_FILE + "route = 'all'\n", 6, "route", "give it with address"),
    (CLIENT_FILE + "nat = true\n", 6, "nat", "give it with address"),
    (ROUTED + "when_down = 'block'\n", 7, "when_down", "say what that is with route"),
    (BLOCK, 2, "server", "must be an address"),
    (ROUTED + "web = 'localhost:8080'\n", 7, "web", "write PORT, ADDRESS:PORT"),
    (ROUTED + "state_dir = ''\n", 7, "state_dir", "text such as"),
    (ROUTED + "copies = 99\n", 7, "copies", "a whole number from 1 to 15"),
    (CLIENT_FILE.replace('link = "eth0:10"\n', ""), None, "link", "--link is missing"),
]
SERVER: list[Mistake] = [
    (CLIENT_FILE, 2, "server", "it is a client's"),
    (SERVER_FILE + "nat = true\n", 7, "nat", "above the first [table]"),
    ("dev = 'wrr0'\n" + SERVER_FILE, 1, "dev", "below a [[peer]]"),
    (SERVER_FILE.replace("[[peer]]", "[peer]"), 4, "peer", "one or more tables: [[peer]]"),
    (SERVER_FILE.replace("51820", "'vps:51820'"), 2, "listen", "write PORT, ADDRESS:PORT"),
    (SERVER_FILE + "psk_file = 'psk2'\n", 7, "psk_file", "wrrtun genkey --out makes one"),
    (HOME + BOAT + "address = '10.9.0.5/24'\n", 11, "address", "give each peer another one"),
    (SERVER_FILE + BOAT.replace("boat", "home"), 8, "name", "give each a name of its own"),
    (SERVER_FILE.replace("listen = 51820", ""), None, "listen", "--listen is missing"),
]


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand for /etc/wrrtun, with the keys; nothing that is started runs."""
    monkeypatch.setattr("wrrtun.config.CONFIG_DIRECTORY", tmp_path)
    monkeypatch.setitem(sys.modules, "wrrtun.daemon", Started())
    for name, key in (("client.key", CLIENT_KEY), ("server.key", SERVER_KEY), ("loose", PSK)):
        (tmp_path / name).write_text(encode_key(key) + "\n")
        (tmp_path / name).chmod(0o644 if name == "loose" else 0o600)
    return tmp_path


def mistake(role: str, path: Path, told: Mistake) -> None:
    text, line, key, remedy = told
    path.write_text(text)
    said = sentence(run(role))
    place = f"{path}:{line}: " if line is not None else ""
    assert place in said
    assert re.search(rf"\b{key}\b", said.removeprefix(place)), said
    assert remedy in said
    assert sentence(run("check-config", str(path))) == said
    assert sentence(run("check-config")) == said


@pytest.mark.parametrize("told", CLIENT)
def test_a_mistake_in_the_clients_file_is_told_with_its_remedy(etc: Path, told: Mistake) -> None:
    mistake("client", etc / "client.toml", told)


@pytest.mark.parametrize("told", SERVER)
def test_a_mistake_in_the_servers_file_is_told_with_its_remedy(etc: Path, told: Mistake) -> None:
    mistake("server", etc / "server.toml", told)


def test_a_byte_order_mark_is_no_mistake(etc: Path) -> None:
    (etc / "client.toml").write_text("\ufeff" + CLIENT_FILE.replace("\n", "\r\n"), newline="")
    assert run("check-config").exit_code == 0
