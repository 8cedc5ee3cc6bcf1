"""The loop per datagram on the way out: frames to sealed batches. And what both ways share: keys.

The nonce is four zero bytes and a 64-bit number made of class (top byte) and seq, in the order of
bytes that Noise gives each cipher (Noise, 12.2 and 12.3). A (key, class, seq) is sealed once.
"""

import struct
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
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
_BEGINS: Final = (CONTINUES ^ PARTIAL) << 60  # makes of a frame that goes on one that begins
_LOWEST: Final = [bytes((value,)) for value in range(256)]
_UNPACK: Final = struct.Struct("12s" * len(_LOWEST)).unpack
_MAX_BLOCKS: Final = 2
_FEW: Final = 16  # cost less one by one
exhaust = deque[object](maxlen=0).extend  # the quickest way through an iterator


class _Nonces:
    """Makes nonces for all keys whose cipher wants the number in one order of bytes.

    All that differ in the lowest byte only are made together, and those made of late are kept.
    (For NumPy it is little work, but getting at NumPy is more, after so much else.)
    """

    def __init__(self, order: str) -> None:
        self.one = struct.Struct(f"{order}4xQ").pack
        self._lowest = 11 if order == ">" else 4
        self._blocks: dict[int, tuple[bytes, ...]] = {}  # by the number without the lowest byte

    def many(self, first: int, count: int) -> tuple[bytes, ...]:
        """Return those of consecutive numbers, 256 at most."""
        if count < _FEW:
            return tuple(map(self.one, range(first, first + count)))
        low = first & 0xFF
        some = self._block(first >> 8)[low : low + count]
        if len(some) < count:
            some += self._block((first >> 8) + 1)[: count - len(some)]
        return some

    def _block(self, number: int) -> tuple[bytes, ...]:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _MAX_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            like, lowest = self.one(number << 8), self._lowest
            before, behind = like[:lowest], like[lowest + 1 :]
            text = before + (behind + before).join(_LOWEST) + behind
            block = self._blocks[number] = _UNPACK(text)
        return block


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
        base = (kind | follow) << 60 | link << 56 | self._session
        if seq + count <= SEQ_MASK:
            headers[:count] = _STEPS[:count] + (base | seq)
        else:
            headers[:count] = [base | seq + i & SEQ_MASK for i in range(count)]
        for start in starts:
            HEADER.pack_into(slab.view, step * start, base ^ _BEGINS | seq + start & SEQ_MASK)
        HEADER.pack_into(slab.view, 0, header)
        if size != step * count:
            sealed = sealed[:count]
            sealed[-1] = slab.view[step * (count - 1) + HEADER.size : size]
        nonces = self._aead.nonces(kind, seq, count)
        exhaust(map(self._aead.cipher.encrypt_into, nonces, frames, authenticated, sealed))
        return slab.view[:size]
