"""The two per-datagram loops: frames to sealed batches, and runs of datagrams back to frames.

The nonce is four zero bytes and a 64-bit number made of class (top byte) and seq, in the order of
bytes that Noise gives each cipher (Noise, 12.2 and 12.3). A (key, class, seq) is sealed once.
"""

import struct
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .batch import Run
from .errors import Drop, PeerError
from .headers import TCP, Buffer, alike, locate
from .join import Opened
from .slab import Slab
from .wire import (
    CONTINUES,
    HEADER,
    MAX_BATCH_DATAGRAMS,
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


_STEPS: Final = np.arange(MAX_BATCH_DATAGRAMS, dtype=np.uint64)
_exhaust = deque[object](maxlen=0).extend  # the quickest way through an iterator


class _Nonces:
    """Makes nonces for all keys whose cipher wants the number in one order of bytes."""

    def __init__(self, order: str) -> None:
        self.one = struct.Struct(f"{order}4xQ").pack
        self._memory = bytearray(12 * MAX_BATCH_DATAGRAMS)
        numbers = np.ndarray((MAX_BATCH_DATAGRAMS,), f"{order}u8", self._memory, 4, (12,))
        # To cut an array is a quarter of the work; so it is done for each count beforehand.
        self._parts = [
            (_STEPS[:count], numbers[:count], struct.Struct("12s" * count).unpack_from)
            for count in range(MAX_BATCH_DATAGRAMS + 1)
        ]

    def many(self, first: int, count: int) -> tuple[bytes, ...]:
        """Return those of consecutive numbers."""
        steps, numbers, unpack = self._parts[count]
        np.add(steps, np.uint64(first), out=numbers)
        return unpack(self._memory)


_NONCES: Final = {
    Suite.AES_256_GCM: _Nonces(">"),
    Suite.CHACHA20_POLY1305: _Nonces("<"),
}


class _Aead:
    """One key and the nonces that go with its cipher."""

    def __init__(self, suite: Suite, key: bytes) -> None:
        self.cipher = AESGCM(key) if suite is Suite.AES_256_GCM else ChaCha20Poly1305(key)
        self._nonces = _NONCES[suite]

    def nonce(self, kind: int, seq: int) -> bytes:
        return self._nonces.one(kind << 56 | seq)

    def nonces(self, kind: int, seq: int, count: int) -> tuple[bytes, ...]:
        if seq + count > SEQ_MASK:
            return tuple(self.nonce(kind, seq + step & SEQ_MASK) for step in range(count))
        return self._nonces.many(kind << 56 | seq, count)


class Sealer:
    """Seals what one session sends."""

    def __init__(self, suite: Suite, key: bytes, remote_session: int) -> None:
        self._aead = _Aead(suite, key)
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
    ) -> Buffer:
        """Seal frames as the datagrams `seq`, `seq + 1`, ... of one batch, laid into the slab.

        All frames are equal in length but the last, which may be shorter; at most 64. `flags` are
        the first frame's wire flags, `follow` those of the others. Frames may lie in the slab where
        their ciphertext goes (see Cutter): then they are sealed in place.
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
        np.add(_STEPS[:count], np.uint64(others), out=headers[:count])
        if seq + count > SEQ_MASK:
            base = others & ~SEQ_MASK
            headers[:count] = [base | seq + i & SEQ_MASK for i in range(count)]
        HEADER.pack_into(slab.view, 0, header)
        if size != step * count:
            sealed = sealed[:count]
            sealed[-1] = slab.view[step * (count - 1) + HEADER.size : size]
        nonces = self._aead.nonces(kind, seq, count)
        _exhaust(map(self._aead.cipher.encrypt_into, nonces, frames, authenticated, sealed))
        return slab.view[:size]


class Opener:
    """Opens what one session receives."""

    def __init__(self, suite: Suite, key: bytes) -> None:
        self._aead = _Aead(suite, key)

    def open(self, run: Run, slab: Slab | None = None) -> tuple[list[Opened], int]:
        """Open a run; return what is authentic, in order, and how many datagrams were not.

        Frames that continue each other are joined, in the slab, and then it belongs to them. Of a
        run that was only assumed to be one, all is authentic or nothing is opened.
        """
        if run.joined and run.count <= MAX_BATCH_DATAGRAMS:
            try:
                joined = self._open_joined(run, slab or Slab())
            except InvalidTag:
                joined = None
            if joined is not None:
                return [joined], 0
            if run.assumed:
                return [], run.count
        opened: list[Opened] = []
        bad = 0
        if 1 < run.count <= MAX_BATCH_DATAGRAMS and not run.joined:
            try:
                return self._open_apart(run), 0
            except InvalidTag:
                pass  # some may be authentic
        for index in range(run.count):
            try:
                opened.append(self._open_one(run, index))
            except InvalidTag:
                bad += 1
        return opened, bad

    def open_message(self, run: Run) -> bytes:
        """Open a lone datagram; raise PeerError(BAD_TAG)."""
        try:
            return self._decrypt(run, 0)
        except InvalidTag:
            raise PeerError(Drop.BAD_TAG) from None

    def _decrypt(self, run: Run, index: int) -> bytes:
        start = index * run.datagram_bytes
        datagram = run.datagrams[start : start + run.datagram_bytes]
        if len(datagram) < OVERHEAD_BYTES:
            raise InvalidTag
        nonce = self._aead.nonce(run.kind, run.seq + index & SEQ_MASK)
        return self._aead.cipher.decrypt(nonce, datagram[8:], datagram[:8])

    def _open_one(self, run: Run, index: int) -> Opened:
        frame = self._decrypt(run, index)
        flags = run.flags
        if index and run.joined:
            flags = CONTINUES
        return _one(run.seq + index & SEQ_MASK, frame, flags)

    def _open_apart(self, run: Run) -> list[Opened]:
        """Open frames, each of which stands for itself."""
        start, end = run.first, run.first + run.count - 1
        sealed, authenticated = _views(run)
        nonces = self._aead.nonces(run.kind, run.seq, run.count)
        decrypt = self._aead.cipher.decrypt
        frames = [*map(decrypt, nonces[:-1], sealed[start:end], authenticated[start:end])]
        frames.append(self._decrypt(run, run.count - 1))
        headers = locate(frames[0]) if run.flags else None
        if not run.flags or (headers is not None and alike(frames, headers)):
            return [Opened(run.seq, run.count, b"", run.flags, headers, 0, 0, None, frames)]
        return [
            _one(run.seq + index & SEQ_MASK, frame, run.flags) for index, frame in enumerate(frames)
        ]

    def _open_joined(self, run: Run, slab: Slab) -> Opened | None:
        """Open the last datagram, then the others backwards, each over the next one's headers.

        So the payloads come to lie end to end behind the first frame's headers. The input stays
        as it was: after a bad tag, the datagrams can still be opened one by one.
        """
        count, step, datagrams = run.count, run.datagram_bytes, run.datagrams
        cipher, tail = self._aead.cipher, (count - 1) * step
        nonces = self._aead.nonces(run.kind, run.seq, count)
        last_header = datagrams[tail : tail + HEADER.size]
        last = cipher.decrypt(nonces[-1], datagrams[tail + HEADER.size :], last_header)
        headers = locate(last)
        if headers is None:
            return None
        _, transport, payload, protocol, _ = headers
        stride = step - OVERHEAD_BYTES - payload
        if stride <= 0 or len(last) > step - OVERHEAD_BYTES:
            return None
        whole = (count - 1) * stride + payload
        data = slab.view[: whole + len(last) - payload]
        data[whole:] = memoryview(last)[payload:]
        sealed, authenticated = _views(run)
        places = slab.join(stride, step - OVERHEAD_BYTES)
        # All but the last, from the back.
        end, begin = run.first + count - 2, run.first - 1 if run.first else None
        _exhaust(
            map(
                cipher.decrypt_into,
                nonces[count - 2 :: -1],
                sealed[end:begin:-1],
                authenticated[end:begin:-1],
                places[count - 2 :: -1],
            )
        )
        last_flags = last[transport + 13] if protocol == TCP else 0
        flags = run.flags or PARTIAL
        return Opened(run.seq, count, data, flags, headers, stride, last_flags, slab)


def _views(run: Run) -> tuple[list[memoryview], list[memoryview]]:
    """Return what is sealed, and what is authenticated, of the datagrams around a run."""
    step = run.datagram_bytes
    if run.slab is not None:
        _, authenticated, sealed = run.slab.batch(step)
        return sealed, authenticated
    whole = run.datagrams
    starts = range(0, len(whole), step)
    return (
        [whole[start + HEADER.size : start + step] for start in starts],
        [whole[start : start + HEADER.size] for start in starts],
    )


def _one(seq: int, frame: bytes, flags: int) -> Opened:
    if not flags:
        return Opened(seq, 1, frame, 0, None, 0, 0)
    headers = locate(frame)
    if headers is None:
        raise InvalidTag  # a peer that calls partial what has no such checksum: drop the frame
    last_flags = frame[headers.transport + 13] if headers.protocol == TCP else 0
    return Opened(seq, 1, frame, flags, headers, len(frame) - headers.payload, last_flags)
