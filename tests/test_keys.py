"""Key files are owner-only and exact; no message quotes what they hold."""

import base64
import os
import resource
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.handshaking import LOW_ORDER_POINTS
from wrrtun.core.errors import ConfigError
from wrrtun.keys import (
    encode_key,
    generate_key,
    parse_key,
    parse_public_key,
    public_key_of,
    read_key_file,
    write_key_file,
)

# The responder's static key pair of the published Noise vectors.
PRIVATE = bytes.fromhex("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893")
PUBLIC = bytes.fromhex("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62")
TEXT = "SjrL/bFj3sZR36MZTezmdtQ3ApxipAi0xeqRFCRuSJM="


def key_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    """Read a file that must be refused; no part of the key may be in the sentence."""
    with pytest.raises(ConfigError) as caught:
        read_key_file(path)
    message = str(caught.value)
    assert "\n" not in message
    assert not any(TEXT[at : at + 6] in message for at in range(len(TEXT) - 6))
    assert caught.value.__cause__ is None
    return message


def test_a_public_key_is_the_one_of_the_published_vectors() -> None:
    assert public_key_of(PRIVATE) == PUBLIC
    assert encode_key(PRIVATE) == TEXT
    assert parse_key(TEXT) == PRIVATE
    assert parse_public_key(encode_key(PUBLIC)) == PUBLIC


@given(st.binary(min_size=32, max_size=32).filter(any))
def test_every_key_but_zero_is_read_back_as_it_was_written(key: bytes) -> None:
    assert parse_key(encode_key(key)) == key


def test_two_generated_keys_differ() -> None:
    first, second = generate_key(), generate_key()
    assert first != second
    assert len(first) == len(second) == 44


# Invariant: any text is a key or refused with ConfigError, and is never repeated.
@given(st.text(max_size=60) | st.text("ABab01+/=", min_size=40, max_size=48))
def test_arbitrary_text_is_a_key_or_refused(text: str) -> None:
    message = ""
    try:
        assert encode_key(parse_public_key(text)) == text
    except ConfigError as error:
        message = str(error)
    assert len(text) < 8 or text not in message


# Zeros are one of them, and have a sentence of their own.
@pytest.mark.parametrize("point", [*filter(any, LOW_ORDER_POINTS)], ids=bytes.hex)
def test_a_public_key_that_gives_everybody_the_secret_is_refused(point: bytes) -> None:
    with pytest.raises(ConfigError, match="not a public key"):
        parse_public_key(encode_key(point))


def test_a_second_name_of_the_same_point_is_refused() -> None:
    twin = PUBLIC[:31] + bytes([PUBLIC[31] | 0x80])
    with pytest.raises(ConfigError, match="no private key belongs to it"):
        parse_public_key(encode_key(twin))


def test_base64_with_stray_last_bits_is_refused() -> None:
    stray = TEXT[:-2] + "N="
    assert base64.b64decode(stray) == PRIVATE
    with pytest.raises(ConfigError, match="not a key"):
        parse_key(stray)


def test_zeros_are_no_key() -> None:
    with pytest.raises(ConfigError, match="zeros"):
        parse_key(encode_key(bytes(32)))
    with pytest.raises(ConfigError, match="zeros"):
        parse_public_key(encode_key(bytes(32)))


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_key_file_holds_one_key_and_at_most_one_newline(tmp_path: Path, ending: bytes) -> None:
    assert read_key_file(key_file(tmp_path / "key", TEXT.encode() + ending)) == PRIVATE


def test_a_key_file_may_be_read_only(tmp_path: Path) -> None:
    assert read_key_file(key_file(tmp_path / "key", TEXT.encode(), 0o400)) == PRIVATE


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    message = refusal(key_file(tmp_path / "key", TEXT.encode(), mode))
    assert f"mode {mode:04o}" in message
    assert "chmod 600" in message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (TEXT.encode() + b"\r\n", "CRLF"),
        (TEXT.encode() + b"\n\n", "there are more"),
        (b"\n" + TEXT.encode(), "there are more"),
        (b" " + TEXT.encode(), "there are more"),
        (TEXT.encode() + b"\n" + TEXT.encode() + b"\n", "there are more"),
        (TEXT.encode()[:-1], "there are 43"),
        (TEXT.encode()[:20] + b"\n", "there are 20"),
        (TEXT.encode().replace(b"/", b"_"), "not a key"),
        (TEXT.encode().replace(b"+", b"-").replace(b"/", b"*"), "not a key"),
        (PRIVATE, "not base64"),
        (PRIVATE.hex().encode(), "there are more"),
        (b"", "there are 0"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "not base64"),
        (b"A" * 43 + b"=", "zeros"),
    ],
)
def test_a_file_with_anything_else_in_it_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    assert why in refusal(key_file(tmp_path / "key", content))


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    key_file(tmp_path / "key", TEXT.encode())
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert "symbolic link" in refusal(tmp_path / "link")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert "cannot open" in refusal(tmp_path / "socket")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    said = f"cannot open {tmp_path}/none: No such file or directory; wrrtun genkey --out makes one"
    assert refusal(tmp_path / "none") == said


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    path = key_file(tmp_path / "key", TEXT.encode())
    os.chown(path, 12345, -1)
    assert "belongs to user 12345" in refusal(path)


def test_a_key_in_place_of_a_file_name_is_not_repeated() -> None:
    assert "not the key itself" in refusal(Path(TEXT))


def test_a_file_name_that_cannot_be_one_is_refused() -> None:
    assert "not a file name" in refusal(Path("a\0b"))


def test_a_new_key_file_is_owner_only_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        write_key_file(path, TEXT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == TEXT + "\n"
    assert read_key_file(path) == PRIVATE


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = key_file(tmp_path / "key", b"precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for taken in (path, tmp_path / "dangling"):
        with pytest.raises(ConfigError, match="exists"):
            write_key_file(taken, TEXT)
    assert path.read_bytes() == b"precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_in_no_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot create"):
        write_key_file(tmp_path / "none" / "key", TEXT)


def test_a_key_that_cannot_be_written_leaves_no_half_a_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"cannot write .*: File too large"):
            write_key_file(tmp_path / "key", TEXT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "key").exists()
