"""The command line does what its help says; what is wrong ends in one sentence."""

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from wrrtun import __version__
from wrrtun.cli import main
from wrrtun.config import ClientConfig, ServerConfig
from wrrtun.keys import encode_key, public_key_of, read_key_file
from wrrtun.linux.control_socket import ControlSocket
from wrrtun.status import Snapshot

CLIENT_KEY, SERVER_KEY, PSK = (bytes([number] * 32) for number in (1, 2, 4))
CLIENT_PUBLIC, SERVER_PUBLIC = (encode_key(public_key_of(key)) for key in (CLIENT_KEY, SERVER_KEY))
SECRETS = [encode_key(key) for key in (CLIENT_KEY, SERVER_KEY, PSK)]

# What the wrong command lines below begin with; a later option of the same name wins.
CLIENT = ["client", "--server", "vps.example.net:51820", "--server-key", SERVER_PUBLIC]
CLIENT += ["--key-file", "client.key"]
SERVER = ["server", "--listen", "51820", "--key-file", "server.key"]
LINK = ["--link", "eth0:10"]
PEER = ["--peer", f"home={CLIENT_PUBLIC}"]

CLIENT_FILE = f"""
server = "vps.example.net:51820"
server_key = "{SERVER_PUBLIC}"
key_file = "client.key"
link = "eth0:10"
"""
ROUTED = CLIENT_FILE + "address = '10.9.0.2/24'\n"
SERVER_FILE = f"""
listen = 51820
key_file = "server.key"
[[peer]]
name = "home"
public_key = "{CLIENT_PUBLIC}"
"""


class Started(ModuleType):
    """Stands for wrrtun.daemon, which needs root and a TAP: keeps what it was started with."""

    def __init__(self) -> None:
        super().__init__("wrrtun.daemon")
        self.config: ClientConfig | ServerConfig | None = None

    def run_client(self, config: ClientConfig, read: object) -> int:
        self.config = config
        return 0

    def run_server(self, config: ServerConfig, read: object) -> int:
        self.config = config
        return 3


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand for /etc/wrrtun, /run/wrrtun and the working directory, with the key files."""
    monkeypatch.setattr("wrrtun.config.CONFIG_DIRECTORY", tmp_path)
    monkeypatch.setattr("wrrtun.config.RUN_DIRECTORY", tmp_path)
    monkeypatch.setattr("wrrtun.cli_watch.RUN_DIRECTORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, key in (("client.key", CLIENT_KEY), ("server.key", SERVER_KEY), ("psk", PSK)):
        path = tmp_path / name
        path.write_text(encode_key(key) + "\n")
        path.chmod(0o600)
    return tmp_path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    module = Started()
    monkeypatch.setitem(sys.modules, "wrrtun.daemon", module)
    return module


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def sentence(result: Result) -> str:
    """Return the one sentence of a refused command; nothing else may be printed, and no secret."""
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    if result.exit_code == 2:  # click says how to ask for help first
        assert lines[0].startswith("Usage: ")
        del lines[: lines.index("") + 1]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert not any(secret in result.output for secret in SECRETS)
    return lines[0].removeprefix("Error: ")


# Keys


def test_genkey_prints_a_key_and_pubkey_its_public_key() -> None:
    private = run("genkey").stdout
    public = run("pubkey", stdin=private.encode()).stdout
    assert len(private) == len(public) == 45
    assert private != public
    assert run("pubkey", "client.key").stdout == CLIENT_PUBLIC + "\n"


def test_genkey_creates_a_file_that_the_other_commands_take(place: Path) -> None:
    result = run("genkey", "--out", "new.key")
    assert (result.exit_code, result.output) == (0, "")
    assert read_key_file(place / "new.key")
    assert "exists; a key is never overwritten" in sentence(run("genkey", "--out", "new.key"))


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        (b"", "standard input: not a key"),
        (b"hello\n", "there are 5"),
        (SECRETS[0].encode() + b"\r\n", "CRLF"),
        (SECRETS[0].encode() + b"\n\n", "there are more"),
        (b"\xff" * 44, "standard input holds no key"),
    ],
)
def test_pubkey_refuses_what_is_no_key(stdin: bytes, why: str) -> None:
    assert why in sentence(run("pubkey", stdin=stdin))


def test_pubkey_does_not_repeat_a_key_given_as_a_file_name() -> None:
    assert "not the key itself" in sentence(run("pubkey", SECRETS[0]))


# Starting


def test_client_starts_with_its_options(started: Started) -> None:
    result = run(
        *CLIENT,
        *("--link", "eth0:10mbit/1mbit", "--link", "[2001:db8::7]:3"),
        *("--address", "10.9.0.2/24", "--address", "fd00::2/64"),
        *("--psk-file", "psk", "--mtu", "1400", "--dev", "bond0", "--bridge", "br0"),
        *("--cipher", "chacha20-poly1305", "--socket", "here.sock"),
    )
    assert result.exit_code == 0
    config = started.config
    assert isinstance(config, ClientConfig)
    assert (config.private_key, config.psk) == (CLIENT_KEY, PSK)
    assert [link.where for link in config.links] == ["eth0", "2001:db8::7"]
    assert list(map(str, config.addresses)) == ["10.9.0.2/24", "fd00::2/64"]
    assert (config.device, config.bridge, config.mtu) == ("bond0", "br0", 1400)
    assert (config.cipher, config.control_socket) == ("chacha20-poly1305", Path("here.sock"))


def test_server_starts_with_its_options_and_ends_with_the_daemons_exit_code(
    started: Started,
) -> None:
    result = run(*SERVER, *PEER, "--address", "10.9.0.1/24", "--dev", "wrr7")
    assert result.exit_code == 3
    config = started.config
    assert isinstance(config, ServerConfig)
    assert [(peer.name, peer.device) for peer in config.peers] == [("home", "wrr7")]
    assert config.control_socket.name == "server.sock"


def test_without_options_the_default_files_are_read(place: Path, started: Started) -> None:
    (place / "client.toml").write_text(CLIENT_FILE)
    (place / "server.toml").write_text(SERVER_FILE)
    assert run("client").exit_code == 0
    assert isinstance(started.config, ClientConfig)
    assert run("server").exit_code == 3
    assert isinstance(started.config, ServerConfig)


def test_another_file_can_be_named(place: Path, started: Started) -> None:
    (place / "other.toml").write_text(CLIENT_FILE)
    assert run("client", "--config", "other.toml").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["client"], "--server is missing, and no server is in"),
        (["client"], "(there is no such file; wrrtun client join writes it)"),
        (["client", *CLIENT[1:3]], "--server-key is missing"),
        (["client", *CLIENT[1:5]], "--key-file is missing"),
        (CLIENT, "--link is missing"),
        ([*CLIENT, *LINK, "--config", "none.toml"], "none.toml does not exist"),
        ([*CLIENT, *LINK, "--config", "."], "cannot read .: Is a directory"),
        ([*CLIENT, *LINK, "--server", "vps"], "--server: 'vps' has no port"),
        ([*CLIENT, *LINK, "--server-key", "abc"], "--server-key: not a key"),
        ([*CLIENT, *LINK, "--server-key", encode_key(bytes(32))], "a key of zeros"),
        ([*CLIENT, *LINK, "--server-key", CLIENT_PUBLIC], "--server-key: this is our own"),
        ([*CLIENT, *LINK, "--key-file", "none"], "--key-file: cannot open none"),
        ([*CLIENT, *LINK, "--key-file", SECRETS[0]], "--key-file: the name of a file"),
        ([*CLIENT, *LINK, "--key-file", "loose"], "--key-file: loose has mode 0644"),
        ([*CLIENT, *LINK, "--psk-file", "loose"], "--psk-file: loose has mode 0644"),
        ([*CLIENT, "--link", "eth0:x"], "--link: 'eth0:x': 'x' is no weight"),
        ([*CLIENT, *LINK, *LINK], "--link: 'eth0' is given twice"),
        ([*CLIENT, *LINK, "--link", "wrr0:5"], "'wrr0' is the tunnel's own device"),
        ([*CLIENT, "--link", "wrr0:1:5"], "'wrr0:1' is the tunnel's own device"),
        (
            [*CLIENT, *(each for n in range(16) for each in ("--link", f"eth{n}:1"))],
            "--link: there are 16 links; 15 is the most",
        ),
        ([*CLIENT, *LINK, "--address", "10.9.0.2"], "--address: '10.9.0.2' is not an address"),
        ([*CLIENT, *LINK, *["--address", "10.9.0.2/24"] * 2], "--address: '10.9.0.2/24' is given"),
        ([*CLIENT, *LINK, "--dev", "a b"], "--dev: 'a b' is not a device name"),
        ([*CLIENT, *LINK, "--bridge", "br/0"], "--bridge: 'br/0' is not a device name"),
        ([*CLIENT, *LINK, "--bridge", "wrr0"], "--bridge: 'wrr0' is the tunnel's own"),
        ([*CLIENT, *LINK, "--mtu", "100"], "100 is not in the range 576<=x<="),
        ([*CLIENT, *LINK, "--mtu", "big"], "'big' is not a valid integer"),
        ([*CLIENT, *LINK, "--mtu", "1000", "--address", "fd00::2/64"], "--mtu: 1000 is too small"),
        ([*CLIENT, *LINK, "--cipher", "rot13"], "'rot13' is not one of"),
        ([*CLIENT, *LINK, "--socket", "s" * 108], "is not the name of a socket"),
        ([*CLIENT, *LINK, "--speed", "9"], "No such option '--speed'"),
        (["serve"], "No such command 'serve'"),
        (["server"], "--listen is missing, and no listen is in"),
        (["server", *SERVER[1:3]], "--key-file is missing"),
        (SERVER, "--peer is missing"),
        ([*SERVER, *PEER, "--listen", "0"], "--listen: '0' is not a port"),
        ([*SERVER, "--peer", CLIENT_PUBLIC], "--peer: a peer is written NAME=PUBKEY"),
        ([*SERVER, "--peer", SECRETS[0]], "--peer: a peer is written NAME=PUBKEY"),
        ([*SERVER, "--peer", "home=abc"], "--peer: home: not a key"),
        ([*SERVER, "--peer", f"a b={CLIENT_PUBLIC}"], "--peer: a peer's name is 1 to 32 letters"),
        ([*SERVER, "--peer", f"me={SERVER_PUBLIC}"], "peer me has our own public key"),
        ([*SERVER, *PEER, *PEER], "two peers are named home"),
        ([*SERVER, *PEER, "--peer", f"boat={CLIENT_PUBLIC}"], "peers home and boat have the same"),
        ([*SERVER, *PEER, "--dev", "sixteen-letters0"], "--dev: 'sixteen-letters0' is not"),
    ],
)
def test_a_wrong_command_line_ends_in_one_sentence(
    place: Path, started: Started, arguments: list[str], why: str
) -> None:
    (place / "loose").write_text(SECRETS[0])
    (place / "loose").chmod(0o644)
    assert why in sentence(run(*arguments))
    assert started.config is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CLIENT_FILE + "linc = 5", "client.toml:6: 'linc' is unknown; did you mean link?"),
        (CLIENT_FILE + "key-file = 'x'", "'key-file' is unknown; did you mean key_file?"),
        (CLIENT_FILE + "qqq = 5", "'qqq' is unknown; known are address, bridge"),
        (CLIENT_FILE + f"private_key = '{SECRETS[0]}'", "'private_key' is unknown"),
        (CLIENT_FILE + "mtu = 100", "client.toml:6: mtu: 100 is not a whole number from 576 to"),
        (CLIENT_FILE + "mtu = '1400'", "mtu: '1400' is not a whole number"),
        (CLIENT_FILE + "mtu = true", "mtu: True is not a whole number"),
        (CLIENT_FILE + "cipher = 'rot13'", 'cipher: \'rot13\' is not "auto", "aes-256-gcm"'),
        (CLIENT_FILE + "dev = 7", "dev: 7 is not text in quotes"),
        (CLIENT_FILE + "address = [1]", "address: the value is not text such as"),
        (CLIENT_FILE + "address = '10.9.0.0/24'", "address: '10.9.0.0/24' is a network"),
        (CLIENT_FILE + "bridge = ''", "bridge: '' is not a device name"),
        (CLIENT_FILE + "socket = ''", "is not the name of a socket"),
        (CLIENT_FILE + "psk_file = 7", "psk_file: the value is not text in quotes"),
        (CLIENT_FILE + "psk_file = ''", "is not a regular file"),
        (CLIENT_FILE + "limits = 5", "limits: 5 is not a table"),
        (CLIENT_FILE + "[limits]\nrekey = 5", "[limits] 'rekey' is unknown; did you mean rekey_s"),
        (CLIENT_FILE + "[limits]\nrekey_seconds = 0", "[limits] rekey_seconds: 0.0 is not a num"),
        (CLIENT_FILE + "[limits]\nrekey_seconds = nan", "nan is not a number from 1 to 120"),
        (CLIENT_FILE + "[limits]\nrekey_seconds = 121", "is not a number from 1 to 120"),
        (CLIENT_FILE.replace('"eth0:10"', "[]"), "--link is missing, and no link is in"),
        (
            CLIENT_FILE.replace('"eth0:10"', '["eth0:x"]'),
            "client.toml:5: link: 'eth0:x': 'x' is no",
        ),
        (CLIENT_FILE.replace("client.key", SECRETS[0]), "key_file: the name of a file is needed"),
        (CLIENT_FILE.replace(SERVER_PUBLIC, "x"), "server_key: not a key"),
        (CLIENT_FILE + "route = 'all'", "client.toml:6: route: routes need an address of this end"),
        (ROUTED + "route = 'everything'", "route: 'everything' is not a network, such as 192.168"),
        (ROUTED + "route = '192.168.5.1/24'", "the network is 192.168.5.0/24"),
        (ROUTED + "route = ['all', '10.0.0.0/8']", 'route: with "all", nothing else is needed'),
        (ROUTED + "route = ['10.0.0.0/8', '10.0.0.0/8']", "'10.0.0.0/8' is given twice"),
        (ROUTED + "route = 'fd00::/64'", "route: fd00::/64 needs an IPv6 address of this end"),
        (ROUTED + "route = 'all'\nbridge = 'br0'", "route: a port of a bridge has no routes"),
        (ROUTED + "via = '10.9.0.2'", "via: '10.9.0.2' is not another machine's address in the"),
        (ROUTED + "via = 'gateway'", "via: 'gateway' is not an address, such as 10.9.0.1"),
        (ROUTED + "via = ['10.9.0.1', '10.9.0.3']", "via: one address for IPv4 is enough"),
        (ROUTED + "nat = 'yes'", "client.toml:7: nat: 'yes' is not true or false"),
        (
            ROUTED + "when_down = 'panic'",
            'when_down: \'panic\' is not "wait", "fallback" or "block"',
        ),
        (
            ROUTED + "route = 'all'\nwhen_down = 'block'",
            "server: 'vps.example.net' must be an address where",
        ),
        (ROUTED + "[gateways]\neth7 = '10.0.0.1'", "client.toml:8: [gateways] 'eth7' is no link"),
        (ROUTED + "[gateways]\neth0 = 'x'", "client.toml:8: [gateways] eth0: 'x' is not an addr"),
        (ROUTED + "gateways = 5", "gateways: 5 is not a table: [gateways], with entries such as"),
        (
            CLIENT_FILE + "address = '10.9.0.2/32'\nroute = 'all'",
            "via is missing: 10.9.0.2/32 has no other end",
        ),
        (
            CLIENT_FILE + "link = 5",
            "client.toml:6: link: this is there already; for several, write a list",
        ),
        ("server = ", "client.toml:1: server: what follows the = is no value"),
        ("x = " + "[" * 9999, "nested too deeply"),
        (SECRETS[0], "client.toml:1: what follows"),
    ],
)
def test_a_wrong_client_file_ends_in_one_sentence(
    place: Path, started: Started, text: str, why: str
) -> None:
    (place / "client.toml").write_text(text)
    said = sentence(run("client"))
    assert why in said
    assert started.config is None
    assert sentence(run("check-config", str(place / "client.toml"))) == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            SERVER_FILE + "adress = 'x'",
            "server.toml:7: peer 1: 'adress' is unknown; did you",
        ),
        (SERVER_FILE + "mtu = 70000", "server.toml:7: peer 1: mtu: 70000 is not a whole number"),
        (SERVER_FILE + "dev = 'a/b'", "peer 1: dev: 'a/b' is not a device name"),
        (SERVER_FILE + "[[peer]]\nname = 'x'", "server.toml:7: peer 2: public_key is missing"),
        (SERVER_FILE + "[[peer]]\npublic_key = 'x'", "server.toml:7: peer 2: name is missing"),
        (SERVER_FILE.replace("home", "no place"), "peer 1: name: a peer's name is 1 to 32"),
        (SERVER_FILE.replace(CLIENT_PUBLIC, "x"), "peer 1: public_key: not a key"),
        (SERVER_FILE.replace(CLIENT_PUBLIC, SERVER_PUBLIC), "peer home has our own public key"),
        (
            SERVER_FILE.replace("[[peer]]", "[peer]"),
            "server.toml:4: peer: the value is not one or more tables",
        ),
        (
            "listen = 5\nkey_file = 'server.key'\npeer = ['x']",
            "peer: 'x' is not one or more tables",
        ),
        (SERVER_FILE.replace("51820", "70000"), "server.toml:2: listen: '70000' is not a port"),
        (SERVER_FILE.replace("51820", "true"), "listen: True is not a port such as"),
        (SERVER_FILE + "route = '10.0.0.0/8'", "peer 1: route: routes need an address of this"),
        ("public = 'vps'\n" + SERVER_FILE, "server.toml:1: public: 'vps' has no port"),
        ("network = '10.0.0.1/20'\n" + SERVER_FILE, "server.toml:1: network: '10.0.0.1/20' has bi"),
        ("nat = 1\n" + SERVER_FILE, "server.toml:1: nat: 1 is not true or false"),
        ("dev = 'wrr0'", "server.toml:1: 'dev' is unknown"),
        (
            SERVER_FILE + f"dev = 'a'\n[[peer]]\nname = 'x'\npublic_key = '{CLIENT_PUBLIC}'",
            "peers home and x have the same public key",
        ),
        (
            SERVER_FILE
            + "dev = 'a'\n[[peer]]\nname = 'x'\ndev = 'a'\n"
            + f"public_key = '{encode_key(public_key_of(PSK))}'",
            "peers home and x both want a",
        ),
    ],
)
def test_a_wrong_server_file_ends_in_one_sentence(
    place: Path, started: Started, text: str, why: str
) -> None:
    (place / "server.toml").write_text(text)
    said = sentence(run("server"))
    assert why in said
    assert started.config is None
    if "[[peer]]" in text or "listen" in text:
        assert sentence(run("check-config", str(place / "server.toml"))) == said


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"server = '\xff'", "is not UTF-8 text (byte 10)"),
        (b"#" * (1 << 20) + b"#", "is longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_text_ends_in_one_sentence(place: Path, content: bytes, why: str) -> None:
    (place / "client.toml").write_bytes(content)
    assert why in sentence(run("client"))


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("client.toml", CLIENT_FILE, "a client with 1 link;"),
        ("x", SERVER_FILE, "a server for 1 client;"),
    ],
)
def test_check_config_reads_either_file(place: Path, name: str, text: str, what: str) -> None:
    (place / name).write_text(text)
    result = run("check-config", *([name] if name == "x" else []))
    assert (result.exit_code, what in result.stdout) == (0, True)


def test_check_config_says_what_starting_would_say(place: Path) -> None:
    (place / "client.toml").write_text(CLIENT_FILE + "mtu = 5")
    assert sentence(run("check-config")) == sentence(run("client"))
    (place / "client.toml").unlink()
    assert "there is neither" in sentence(run("check-config"))


# Status


def snapshot(role: str) -> Snapshot:
    return Snapshot(role=role, version="0.1.0", uptime_seconds=5, peers=[], drops={"bad_mac": 1})


@contextlib.contextmanager
def answering(path: Path, document: bytes) -> Iterator[None]:
    """Run a real control socket that answers `document` to "status"."""
    loop = asyncio.new_event_loop()
    control = ControlSocket(path, lambda request: document if request == "status" else b"?")
    loop.run_until_complete(control.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(control.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_status_shows_the_daemon_at_its_usual_place(place: Path) -> None:
    with answering(place / "client.sock", snapshot("client").to_json()):
        result = run("status")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == snapshot("client").to_text()


def test_status_shows_every_daemon_of_the_machine(place: Path) -> None:
    with (
        answering(place / "another.sock", snapshot("client").to_json()),
        answering(place / "server.sock", snapshot("server").to_json()),
    ):
        result = run("status", "--json")
    roles = [json.loads(line)["role"] for line in result.stdout.splitlines()]
    assert roles == ["server", "client"]


def test_status_asks_the_socket_that_is_named(place: Path) -> None:
    with (
        answering(place / "client.sock", b"not this one"),
        answering(place / "mine", snapshot("server").to_json()),
    ):
        result = run("status", "--socket", "mine")
    assert result.stdout == snapshot("server").to_text()


def test_status_passes_over_the_socket_of_a_dead_daemon(place: Path) -> None:
    leave_dead_socket(place / "client.sock")
    with answering(place / "server.sock", snapshot("server").to_json()):
        result = run("status")
    assert result.exit_code == 0
    assert result.stdout == snapshot("server").to_text()
    assert result.stderr.startswith("Warning: no daemon answers at")


def test_status_without_a_daemon_is_one_sentence(place: Path) -> None:
    assert sentence(run("status")) == f"no daemon runs here: there is no socket in {place}"
    assert "no daemon answers at none: No such file" in sentence(run("status", "--socket", "none"))
    assert "path too long" in sentence(run("status", "--socket", "s" * 200))
    leave_dead_socket(place / "client.sock")
    assert "client.sock: Connection refused" in sentence(run("status"))


def test_status_refuses_an_answer_that_is_none(place: Path) -> None:
    with answering(place / "client.sock", b'{"role": 5}'):
        assert "the daemon's answer is no status snapshot" in sentence(run("status"))


def leave_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


# Help


def test_version_is_the_packages() -> None:
    assert run("--version").stdout == f"wrrtun {__version__}\n"


@pytest.mark.parametrize("command", ["genkey", "pubkey", "server", "client", "status"])
def test_every_option_says_what_it_is_for(command: str) -> None:
    for option in main.commands[command].params:
        if option.param_type_name == "option":
            assert getattr(option, "help", None), option.name
    assert run(command, "-h").stdout == run(command, "--help").stdout


def test_help_does_not_import_the_daemon() -> None:
    code = "import sys, wrrtun.cli; print({'numpy', 'pyroute2', 'uvloop'} & set(sys.modules))"
    process = asyncio.run(_python("-c", code))
    assert process == b"set()\n"


def test_the_package_can_be_run_as_a_module() -> None:
    assert asyncio.run(_python("-m", "wrrtun", "--version")) == f"wrrtun {__version__}\n".encode()


async def _python(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output
