"""Keys as text and as files: X25519, written in base64 as WireGuard writes them (44 characters).

A key file holds one key and at most one newline, belongs to us or to root, and nobody else may
read it. All of that is asked of the open descriptor, so nothing can be exchanged between the look
and the read. No message here ever repeats what a file or a key option contains.
"""

import base64
import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .core.errors import ConfigError

KEY_BYTES: Final = 32
KEY_CHARACTERS: Final = 44
MAX_KEY_FILE_BYTES: Final = KEY_CHARACTERS + 3  # enough to see that there is too much
FIELD_PRIME: Final = 2**255 - 19


def generate_key() -> str:
    """Make a private key (or a pre-shared key: both are 32 random bytes), in base64."""
    return encode_key(X25519PrivateKey.generate().private_bytes_raw())


def encode_key(key: bytes) -> str:
    """Write 32 bytes in base64."""
    return base64.b64encode(key).decode("ascii")


def public_key_of(private_key: bytes) -> bytes:
    """Calculate the public key that belongs to a private one."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def device_mac(own_public_key: bytes, peer_public_key: bytes) -> str:
    """Make the Ethernet address of a tunnel's device, the same after each start.

    With another one, the other end's kernel would send to the old one for some ten seconds.
    """
    digest = hashlib.blake2s(own_public_key + peer_public_key, digest_size=5, person=b"wrrtmac")
    return ":".join(f"{byte:02x}" for byte in b"\x02" + digest.digest())  # locally administered


def parse_key(text: str) -> bytes:
    """Read a private or pre-shared key; ConfigError says what is wrong, never what it reads."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    # Decoding ignores the two bits that 44 characters have and 32 bytes have not.
    if len(text) != KEY_CHARACTERS or len(key) != KEY_BYTES or encode_key(key) != text:
        count = "more" if len(text) > KEY_CHARACTERS else len(text)
        raise ConfigError(
            f"not a key: {KEY_CHARACTERS} characters of base64 are needed, as wrrtun genkey and "
            f"pubkey write them (there are {count})"
        )
    if not any(key):
        raise ConfigError("a key of zeros protects nothing; make one with wrrtun genkey")
    return key


def parse_public_key(text: str) -> bytes:
    """Read a public key, and refuse one that no private key has or that gives a known secret."""
    key = parse_key(text)
    # One point has one name: a key is recognised by its bytes. (RFC 7748, 5 accepts others.)
    if int.from_bytes(key, "little") >= FIELD_PRIME:
        raise ConfigError("not a public key: no private key belongs to it")
    try:
        X25519PrivateKey.from_private_bytes(bytes([1] * KEY_BYTES)).exchange(
            X25519PublicKey.from_public_bytes(key)
        )
    except ValueError:  # a low-order point (RFC 7748, 6.1)
        raise ConfigError("not a public key: everybody could calculate its secret") from None
    return key


def read_key_file(path: Path) -> bytes:
    """Read the one key of a file that only its owner can read; else ConfigError, one sentence."""
    refuse_key_as_name(str(path))
    try:
        # O_NONBLOCK: opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigError(f"{path} is a symbolic link; name the key file itself") from None
        hint = "; wrrtun genkey --out makes one" if error.errno == errno.ENOENT else ""
        raise ConfigError(f"cannot open {path}: {error.strerror}{hint}") from None
    except ValueError:
        raise ConfigError(f"{str(path)!r} is not a file name") from None
    try:
        _check_owner(path, os.fstat(descriptor))
        content = os.read(descriptor, MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return parse_key_content(str(path), content)


def write_key_file(path: Path, key: str) -> None:
    """Create a file for a new key that only we can read; an existing file stays as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} exists; a key is never overwritten") from None
    except OSError as error:
        raise ConfigError(f"cannot create {path}: {error.strerror}") from None
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def parse_key_content(name: str, content: bytes) -> bytes:
    """Read what a key file holds: one key, and one newline at most."""
    if b"\r" in content:
        raise ConfigError(f"{name} has Windows line ends (CRLF); write the key with wrrtun genkey")
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} holds no key: it is not base64 text") from None
    try:
        return parse_key(text.removesuffix("\n"))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def refuse_key_as_name(text: str) -> None:
    """Refuse a key where the name of its file belongs, before any message shows it as a name."""
    with contextlib.suppress(ValueError):
        if len(base64.b64decode(text, validate=True)) == KEY_BYTES:
            raise ConfigError(
                "the name of a file is needed, not the key itself, which others could see here"
            )


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file")
    # Whoever owns the directory can put any file there: to root, nothing is won by refusing.
    owners = {0, os.geteuid(), os.stat(path.parent).st_uid if os.geteuid() == 0 else 0}
    if status.st_uid not in owners:
        raise ConfigError(f"{path} belongs to user {status.st_uid}; it must be ours or root's")
    if status.st_mode & 0o077:
        raise ConfigError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, so others can use it; "
            f"make a new key if they did, then chmod 600 {path}"
        )
