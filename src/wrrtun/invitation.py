"""An invitation: one line that makes a client of a machine, fit to be copied by hand or by voice.

    wrr1:0C93G2-M0D4WX-...        letters and digits without I, L, O and U; case does not matter

Inside: where the server is, its public key, the client's address in the tunnel, and a secret that
the client's private key and the pre-shared key are derived from. Whoever has the line can be that
client, so it is a password; an invitation for a public key that the client made itself (`secret`
is then the pre-shared key's alone) is none of use without that client's private key.

Each group ends in a check character over GF(32): it finds any one wrong character, two swapped
neighbours, and a group in the wrong place, and so says which group to read again. A checksum over
everything finds the rest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .config import IPInterface
from .core.errors import ConfigError
from .keys import KEY_BYTES

PREFIX: Final = "wrr1:"
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's
READ_AS: Final = {"O": "0", "I": "1", "L": "1"}
SECRET_BYTES: Final = 20
CHECKSUM_BYTES: Final = 4
GROUP_CHARACTERS: Final = 6  # the last one checks the others
MAX_CHARACTERS: Final = 1000

OWN_KEY: Final = 1  # flags
WITH_IPV4: Final = 2
WITH_IPV6: Final = 4
HOST_NAME: Final = 8


@dataclass(frozen=True)
class Invitation:
    """What the line holds. `own_key`: the client's private key does not come from the secret."""

    host: str
    port: int
    server_key: bytes
    secret: bytes = field(repr=False)
    addresses: tuple[IPInterface, ...]  # of the client: one of IPv4, one of IPv6, or both
    own_key: bool = False

    @property
    def client_key(self) -> bytes:
        """The client's private key, where it comes from the invitation."""
        return self._derive(b"wrrtun invitation: client key")

    @property
    def psk(self) -> bytes:
        """The pre-shared key."""
        return self._derive(b"wrrtun invitation: pre-shared key")

    def _derive(self, purpose: bytes) -> bytes:
        return HKDF(SHA256(), KEY_BYTES, salt=self.server_key, info=purpose).derive(self.secret)


def encode(invitation: Invitation) -> str:
    """Write the line."""
    data = _pack(invitation)
    data += blake2s(data, digest_size=CHECKSUM_BYTES).digest()
    number = int.from_bytes(data)
    count = -(-len(data) * 8 // 5)
    number <<= count * 5 - len(data) * 8
    values = [number >> 5 * (count - 1 - index) & 31 for index in range(count)]
    size = GROUP_CHARACTERS - 1
    values += [0] * (-len(values) % size)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return PREFIX + "-".join(
        "".join(ALPHABET[value] for value in [*group, _check(group, place)])
        for place, group in enumerate(groups)
    )


def decode(text: str) -> Invitation:
    """Read the line; ConfigError says which group is wrong, and never repeats what it reads."""
    values: list[int] = []
    for place, group in enumerate(_groups(text)):
        read = [ALPHABET.find(READ_AS.get(character, character)) for character in group]
        if -1 in read:
            raise ConfigError(
                f"the invitation's group {place + 1} has a character that is never used; "
                "there are digits and letters without I, L, O and U"
            )
        if _check(read[:-1], place) != read[-1]:
            raise ConfigError(f"the invitation's group {place + 1} is wrong; read it again")
        values += read[:-1]
    number = 0
    for value in values:
        number = number << 5 | value
    size = len(values) * 5 // 8
    data = (number >> len(values) * 5 - size * 8).to_bytes(size)
    return _unpack(data)


def _groups(text: str) -> list[str]:
    """Take the line apart, with or without its dashes."""
    line = text.strip()
    if len(line) > MAX_CHARACTERS or not line.lower().startswith(PREFIX):
        raise ConfigError(f"this is no invitation: one begins with {PREFIX}")
    parts = [part for part in re.split(r"[\s-]+", line[len(PREFIX) :].upper()) if part]
    if len(parts) == 1:
        whole, size = parts[0], GROUP_CHARACTERS
        parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    for place, part in enumerate(parts):
        if len(part) != GROUP_CHARACTERS:
            raise ConfigError(
                f"the invitation's group {place + 1} has {len(part)} characters; "
                f"each has {GROUP_CHARACTERS}"
            )
    return parts


def _check(values: Sequence[int], place: int) -> int:
    """Sum what the values are at their places, as a polynomial over GF(32)."""
    total = place & 31
    for value in values:
        total = _double(total) ^ value
    return _double(total)


def _double(value: int) -> int:
    """Multiply by x modulo x^5 + x^2 + 1."""
    value <<= 1
    return value ^ 0b100101 if value & 32 else value


def _pack(invitation: Invitation) -> bytes:
    flags = OWN_KEY if invitation.own_key else 0
    inside = b""
    for address in sorted(invitation.addresses, key=lambda one: one.version):
        flags |= WITH_IPV4 if address.version == 4 else WITH_IPV6
        inside += address.ip.packed + bytes([address.network.prefixlen])
    try:
        host = (
            IPv6Address(invitation.host) if ":" in invitation.host else IPv4Address(invitation.host)
        ).packed
    except ValueError:
        host = invitation.host.encode("ascii")
        flags |= HOST_NAME
    head = bytes([flags]) + invitation.port.to_bytes(2) + bytes([len(host)]) + host
    return head + invitation.server_key + invitation.secret + inside


def _unpack(data: bytes) -> Invitation:
    """Take the bytes apart; what is behind the checksum fills up the last group."""
    size = _size(data)
    body, checksum = data[: size - CHECKSUM_BYTES], data[size - CHECKSUM_BYTES : size]
    if len(data) < size or blake2s(body, digest_size=CHECKSUM_BYTES).digest() != checksum:
        raise ConfigError("the invitation is not whole; compare the number of its groups")
    try:
        return _read(body)
    except ValueError:  # well written, but nonsense: no mistake of a reader
        raise ConfigError("the invitation is of another version of wrrtun") from None


def _read(body: bytes) -> Invitation:
    flags, host_bytes = body[0], body[3]
    host, rest = body[4 : 4 + host_bytes], body[4 + host_bytes :]
    server_key, rest = rest[:KEY_BYTES], rest[KEY_BYTES:]
    secret, rest = rest[:SECRET_BYTES], rest[SECRET_BYTES:]
    addresses = []
    for flag, length in ((WITH_IPV4, 4), (WITH_IPV6, 16)):
        if flags & flag:
            addresses.append(ip_interface((rest[:length], rest[length])))
            rest = rest[length + 1 :]
    return Invitation(
        host=host.decode("ascii") if flags & HOST_NAME else str(_address(host)),
        port=int.from_bytes(body[1:3]),
        server_key=server_key,
        secret=secret,
        addresses=tuple(addresses),
        own_key=bool(flags & OWN_KEY),
    )


def _size(data: bytes) -> int:
    """Say how long the packed bytes are, by their head."""
    if len(data) < 4:
        return 4 + CHECKSUM_BYTES
    inside = (5 if data[0] & WITH_IPV4 else 0) + (17 if data[0] & WITH_IPV6 else 0)
    return 4 + data[3] + KEY_BYTES + SECRET_BYTES + inside + CHECKSUM_BYTES


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
