"""The control socket, asked as `wrrtun status` asks it, on both kinds of loop."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from wrrtun.core.errors import ConfigError
from wrrtun.linux.control_socket import MAX_CLIENTS, ControlSocket, fetch

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    def on_loop(story: Any) -> None:
        (uvloop.run if request.param == "uvloop" else asyncio.run)(story())

    return on_loop


def answer(request: str) -> bytes:
    return f'{{"you asked": "{request}"}}\n'.encode()


@contextlib.asynccontextmanager
async def serving(path: Path, reply: Callable[[str], bytes] = answer) -> Any:
    control = ControlSocket(path, reply)
    await control.start()
    try:
        yield control
    finally:
        await control.close()


async def ask(path: Path, request: str = "status", timeout_seconds: float = 5.0) -> bytes:
    return await asyncio.to_thread(fetch, path, request, timeout_seconds)


def test_a_request_gets_its_answer_and_the_socket_is_private_and_removed(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "client.sock"

    async def story() -> None:
        async with serving(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            for _time in range(3):
                assert await ask(path) == b'{"you asked": "status"}\n'
        assert not path.exists()

    run(story)


def test_a_long_answer_arrives_whole(run: Run, tmp_path: Path) -> None:
    long = os.urandom(3 << 20)

    async def story() -> None:
        async with serving(tmp_path / "s", lambda _request: long):
            assert await ask(tmp_path / "s") == long

    run(story)


def test_a_dead_daemon_s_socket_is_replaced_and_a_live_one_s_is_not(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def story() -> None:
        async with serving(path):
            with pytest.raises(ConfigError, match="another wrrtun answers at"):
                await ControlSocket(path, answer).start()
            assert await ask(path) == b'{"you asked": "status"}\n'

    run(story)


def test_a_file_that_is_no_socket_is_left_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("precious")

    async def story() -> None:
        with pytest.raises(ConfigError, match="exists and is not a socket"):
            await ControlSocket(path, answer).start()

    run(story)
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_is_told(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(ConfigError, match="no control socket at"):
            await ControlSocket(tmp_path / ("x" * 120), answer).start()
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="no control socket at"):
            await ControlSocket(tmp_path / "file" / "s", answer).start()

    run(story)


def test_a_closing_daemon_leaves_its_successor_s_socket(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def story() -> None:
        first = ControlSocket(path, answer)
        await first.start()
        path.unlink()
        async with serving(path):
            await first.close()
            assert await ask(path) == b'{"you asked": "status"}\n'

    run(story)


@pytest.mark.parametrize("sent", [b"", b"half a line", b"x" * 100_000, b"\xff\n"])
def test_clients_that_send_too_little_or_too_much_disturb_nobody(
    run: Run, tmp_path: Path, sent: bytes
) -> None:
    path = tmp_path / "s"

    async def story() -> None:
        async with serving(path):
            with socket.socket(socket.AF_UNIX) as odd:
                odd.connect(str(path))
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(odd.sendall, sent)
                assert await ask(path) == b'{"you asked": "status"}\n'

    run(story)


def test_a_client_that_says_or_reads_nothing_is_cut_off(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wrrtun.linux.control_socket.CLIENT_SECONDS", 0.1)
    path = tmp_path / "s"

    async def story() -> None:
        async with serving(path, lambda _request: bytes(8 << 20)):
            with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as deaf:
                silent.settimeout(5)
                silent.connect(str(path))
                deaf.settimeout(5)
                deaf.connect(str(path))
                deaf.sendall(b"status\n")
                assert await asyncio.to_thread(silent.recv, 10) == b""
                await asyncio.sleep(0.3)
                heard = 0
                with contextlib.suppress(ConnectionResetError):
                    while part := await asyncio.to_thread(deaf.recv, 1 << 20):
                        heard += len(part)
                assert heard < 8 << 20

    run(story)


def test_more_clients_than_allowed_are_turned_away_and_room_comes_back(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "s"

    async def story() -> None:
        async with serving(path):
            with contextlib.ExitStack() as waiting:
                for _client in range(MAX_CLIENTS):
                    client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                    client.connect(str(path))
                    await asyncio.sleep(0.01)
                with pytest.raises(OSError, match=r"without an answer|reset|Broken pipe"):
                    await ask(path)
            await asyncio.sleep(0.05)
            assert await ask(path) == b'{"you asked": "status"}\n'

    run(story)


def test_fetch_gives_up_in_time_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(FileNotFoundError):
        fetch(path, "status", 1.0)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        with pytest.raises(ConnectionRefusedError):
            fetch(path, "status", 1.0)
        mute.listen()
        with pytest.raises(TimeoutError):
            fetch(path, "status", 0.05)
