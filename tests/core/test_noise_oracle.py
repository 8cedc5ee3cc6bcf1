"""Handshakes with another implementation, PyPI's noiseprotocol, in both roles."""

import functools
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.core.handshaking import (
    CLIENT_KEY,
    PSK,
    SERVER_BOOT,
    SERVER_KEY,
    Client,
    Server,
    public,
    sign_init,
)
from wrrtun.core.cookie import add_mac1, mac1_key
from wrrtun.core.handshake import NOISE_NAMES
from wrrtun.core.messages import (
    Hello,
    Init,
    Response,
    Welcome,
    parse_hello,
    parse_init,
    parse_response,
    parse_welcome,
)
from wrrtun.core.offers import LinkOffer, LinkTable
from wrrtun.core.seal import Suite

PINS = ["noiseprotocol==0.3.1", "cryptography==50.0.2"]
ENVIRONMENT = Path(__file__).parents[2] / "build" / "noise-oracle"
ORACLE = Path(__file__).with_name("noise_oracle.py")


@functools.cache
def oracle_python() -> Path | None:
    """Return the interpreter that has noiseprotocol, None where it cannot be installed."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "ready"
    wanted = "\n".join([sys.version, *PINS])
    if not ready.exists() or ready.read_text() != wanted:
        install = [str(python), "-m", "pip", "install", "--quiet", "--retries=1", *PINS]
        try:
            venv.create(ENVIRONMENT, clear=True, with_pip=True)
            subprocess.run(install, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return None
        ready.write_text(wanted)
    return python


class Oracle:
    """The other side, a process that is talked to over pipes."""

    def __init__(self, suite: Suite, static: bytes, remote_static: bytes | None = None) -> None:
        python = oracle_python()
        if python is None:
            pytest.skip("noiseprotocol could not be installed")
        prologue = b"wrrtun\x02" + bytes([suite])
        keys = [prologue, static, PSK, *([remote_static] if remote_static else [])]
        arguments = [NOISE_NAMES[suite], *(key.hex() for key in keys)]
        self._process = subprocess.Popen(
            [python, ORACLE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Oracle":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, message: bytes, payload: bytes) -> tuple[bytes, bytes]:
        """Hand it a message (empty: none yet) and a payload; return what it read and says."""
        assert self._process.stdin is not None
        print(message.hex() or "-", payload.hex() or "-", file=self._process.stdin, flush=True)
        return self.pair()

    def pair(self) -> tuple[bytes, bytes]:
        """Read a line: two byte strings, of which "-" stands for an empty one."""
        assert self._process.stdout is not None
        first, second = self._process.stdout.readline().replace("-", "").split(" ")
        return bytes.fromhex(first), bytes.fromhex(second)


@pytest.mark.parametrize("suite", Suite)
def test_our_client_agrees_with_its_server(suite: Suite) -> None:
    client = Client(suite=suite)
    init = parse_init(client.start(session=0x1111)[:-32])
    welcome = Welcome(SERVER_BOOT, 7, 1380)
    with Oracle(suite, SERVER_KEY) as oracle:
        payload, message = oracle.tell(init.noise, welcome.encode())
        send_key, receive_key = oracle.pair()

    assert parse_hello(payload).mtu == 1400
    response = Response(0x1111, 0x2001, message).encode()
    established = client.finish(add_mac1(mac1_key(public(CLIENT_KEY)), response))
    assert established.next_bulk_seq == 7
    assert (established.keys.receive_key, established.keys.send_key) == (send_key, receive_key)


@pytest.mark.parametrize("suite", Suite)
def test_our_server_agrees_with_its_client(suite: Suite) -> None:
    hello = Hello(
        1, b"b" * 16, bytes(16), 7, 1400, LinkTable(0, 1, (LinkOffer(0, 1.0, 1.0, 0, 0),))
    )
    with Oracle(suite, CLIENT_KEY, public(SERVER_KEY)) as oracle:
        _, message = oracle.tell(b"", hello.encode())
        reply = Server().receive(sign_init(Init(suite, 0x1111, message).encode()))
        response = parse_response(reply.datagram[:-16])
        payload, _ = oracle.tell(response.noise, b"")
        send_key, receive_key = oracle.pair()

    assert parse_welcome(payload).boot_id == SERVER_BOOT
    assert reply.established is not None
    keys = reply.established[1].keys
    assert (keys.receive_key, keys.send_key) == (send_key, receive_key)
