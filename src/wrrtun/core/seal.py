"""The loop per datagram on the way out: frames to sealed batches. And what both ways share: keys.

The nonce is four zero bytes and a 64-bit number made of class (top byte) and seq, in the order of
bytes that Noise gives each cipher (Noise, 12.2 and 12.3). A (key, class, seq) is sealed once.
"""

import struct
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .headers import Buffer
from .slab import Slab
from .wire import (
    CONTINUES,
    HEADER,
    MAX_RUN_DATAGRAMS,
    OVERHEAD_BYTES,
    PARTIAL,
    SEQ_BITS,
    SEQ_MASK,
    Kind,
    seq_distance,
)


class Suite(IntEnum):
    """The AEAD of a session; its number is part of INIT and of the Noise prologue."""

    AES_256_GCM = 1
    CHACHA20_POLY1305 = 2

    @staticmethod
    def named(cipher: str, *, has_aes: bool) -> "Suite":
        """Return the suite of a configured cipher; `auto`: AES where the processor has it."""
        aes = cipher == "aes-256-gcm" or (cipher == "auto" and has_aes)
        return Suite.AES_256_GCM if aes else Suite.CHACHA20_POLY1305


_STEPS: Final = np.arange(MAX_RUN_DATAGRAMS, dtype=np.uint64)
_BEGINS: Final = np.uint64(
    (CONTINUES ^ PARTIAL) << 60
)  # makes of a frame that goes on one that begins
exhaust = deque[object](maxlen=0).extend  # the quickest way through an iterator


_Part = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Callable[..., tuple[bytes, ...]]]


class _Nonces:
    """Makes nonces for all keys whose cipher wants the number in one order of bytes."""

    def __init__(self, order: str) -> None:
        self.one = struct.Struct(f"{order}4xQ").pack
        self._memory = bytearray(12 * MAX_RUN_DATAGRAMS)
        self._numbers = np.ndarray((MAX_RUN_DATAGRAMS,), f"{order}u8", self._memory, 4, (12,))
        self._parts: dict[int, _Part] = {}

    def many(self, first: int, count: int) -> tuple[bytes, ...]:
        """Return those of consecutive numbers."""
        steps, numbers, unpack = self._parts.get(count) or self._part(count)
        # In two steps: NumPy is slow to add into another order of bytes.
        numbers[...] = steps + first
        return unpack(self._memory)

    def _part(self, count: int) -> _Part:
        """Cut the arrays for so many: a quarter of the work, so it is done once."""
        part = _STEPS[:count], self._numbers[:count], struct.Struct("12s" * count).unpack_from
        self._parts[count] = part
        return part


_NONCES: Final = {
    Suite.AES_256_GCM: _Nonces(">"),
    Suite.CHACHA20_POLY1305: _Nonces("<"),
}


class Aead:
    """One key and the nonces that go with its cipher."""

    def __init__(self, suite: Suite, key: bytes) -> None:
        self.cipher = AESGCM(key) if suite is Suite.AES_256_GCM else ChaCha20Poly1305(key)
        self._nonces = _NONCES[suite]

    def nonce(self, kind: int, seq: int) -> bytes:
        """Make the nonce of one datagram."""
        return self._nonces.one(kind << 56 | seq)

    def nonces(self, kind: int, seq: int, count: int) -> tuple[bytes, ...]:
        """Make the nonces of so many consecutive datagrams, of one run at most."""
        if seq + count > SEQ_MASK:
            return tuple(self.nonce(kind, seq + step & SEQ_MASK) for step in range(count))
        return self._nonces.many(kind << 56 | seq, count)


class Sealer:
    """Seals what one session sends."""

    def __init__(self, suite: Suite, key: bytes, remote_session: int) -> None:
        self._aead = Aead(suite, key)
        self._session = remote_session << SEQ_BITS
        self._next: dict[int, int] = {}

    def seal(
        self,
        kind: Kind,
        flags: int,
        follow: int,
        link: int,
        seq: int,
        frames: Sequence[Buffer],
        slab: Slab | None = None,
        starts: Sequence[int] = (),
    ) -> Buffer:
        """Seal frames as the datagrams `seq`, `seq + 1`, ... of one run, laid into the slab.

        All frames are equal in length but the last, which may be shorter; as many as the slab has
        room for. `flags` are the first frame's wire flags, `follow` those of the others, but of
        those that begin another super-frame (`starts`). Frames may lie in the slab where their
        ciphertext goes (see Cutter): then they are sealed in place.
        """
        count = len(frames)
        if seq != (expected := self._next.get(kind, seq)):
            assert seq_distance(seq, expected) > 0, f"{kind.name} {seq} would be sealed twice"
        self._next[kind] = seq + count & SEQ_MASK
        header = (kind | flags) << 60 | link << 56 | self._session | seq
        if count == 1:
            packed = HEADER.pack(header)
            nonce = self._aead.nonce(kind, seq)
            return packed + self._aead.cipher.encrypt(nonce, frames[0], packed)

        slab = slab or Slab()
        step = len(frames[0]) + OVERHEAD_BYTES
        size = step * (count - 1) + len(frames[-1]) + OVERHEAD_BYTES
        headers, authenticated, sealed = slab.batch(step)
        others = (kind | follow) << 60 | header & ((1 << 60) - 1)
        headers[:count] = _STEPS[:count] + others
        if seq + count > SEQ_MASK:
            base = others & ~SEQ_MASK
            headers[:count] = [base | seq + i & SEQ_MASK for i in range(count)]
        if starts:
            headers[starts] ^= _BEGINS
        HEADER.pack_into(slab.view, 0, header)
        if size != step * count:
            sealed = sealed[:count]
            sealed[-1] = slab.view[step * (count - 1) + HEADER.size : size]
        nonces = self._aead.nonces(kind, seq, count)
        exhaust(map(self._aead.cipher.encrypt_into, nonces, frames, authenticated, sealed))
        return slab.view[:size]
