"""The loop per datagram on the way in: runs of datagrams back to frames.

Frames that continue each other are opened so that their payloads can be handed on as they lie.
"""

from itertools import pairwise

from cryptography.exceptions import InvalidTag

from .batch import Run
from .errors import Drop, PeerError
from .headers import TCP, Buffer, alike, locate
from .join import MAX_SUPER_FRAME_BYTES, Opened
from .seal import Aead, Suite, exhaust
from .slab import Slab
from .wire import HEADER, OVERHEAD_BYTES, PARTIAL, SEQ_MASK


class Opener:
    """Opens what one session receives."""

    def __init__(self, suite: Suite, key: bytes) -> None:
        self._aead = Aead(suite, key)

    def open(self, run: Run, slab: Slab | None = None) -> tuple[list[Opened], int]:
        """Open a run; return what is authentic, in order, and how many datagrams were not.

        Frames that continue each other are laid together, in the slab, and then it belongs to them.
        Of a run that was only assumed to be one, all is authentic or nothing is opened.
        """
        if run.count > 1:
            try:
                whole = self._open_whole(run, slab)
            except InvalidTag:
                whole = []
            if whole:
                return whole, 0
            if run.assumed:
                return [], run.count
        opened: list[Opened] = []
        bad = 0
        for index in range(run.count):
            try:
                opened.append(self._open_one(run, index))
            except InvalidTag:
                bad += 1
        return opened, bad

    def _open_whole(self, run: Run, slab: Slab | None) -> list[Opened]:
        """Open all of a run together, or raise InvalidTag; nothing: it cannot be done."""
        if run.joined:
            joined = self._open_joined(run, slab or Slab()) if run.batches == 1 else None
            return [joined] if joined is not None else []
        if run.starts:
            return [self._open_parts(run, slab or Slab(run.batches))]
        return self._open_apart(run)

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
        return _one(run.seq + index & SEQ_MASK, self._decrypt(run, index), run.flags_of(index))

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

    def _open_parts(self, run: Run, slab: Slab) -> Opened:
        """Open a run of several super-frames, each frame to a place of its own in the slab."""
        step, count = run.datagram_bytes, run.count
        size, last_one = step - OVERHEAD_BYTES, count - 1
        sealed, authenticated = _views(run)
        nonces = self._aead.nonces(run.kind, run.seq, count)
        places = slab.join(step, size)
        end = run.first + last_one
        decrypt = self._aead.cipher.decrypt_into
        exhaust(
            map(decrypt, nonces[:-1], sealed[run.first : end], authenticated[run.first :], places)
        )
        frames: list[Buffer] = [*places[:last_one], self._decrypt(run, last_one)]
        parts = []
        flags, payload = run.flags, -1
        payloads: list[Buffer] = []  # of all frames, if their headers are as long as these
        for first, behind in pairwise((0, *run.starts, count)):
            data, last = frames[first], frames[behind - 1]
            headers = locate(data)
            if headers is None or (behind - first) * size > MAX_SUPER_FRAME_BYTES:
                raise InvalidTag  # see _one; nobody makes such, but each frame may be good
            if payload != headers.payload:
                payload = headers.payload
                payloads = [*slab.join(step, size - payload, payload)[:last_one]]
                payloads.append(memoryview(frames[last_one])[payload:])
            last_flags = last[headers.transport + 13] if headers.protocol == TCP else 0
            one = Opened(
                run.seq + first & SEQ_MASK,
                behind - first,
                data,
                flags,
                headers,
                len(data) - payload,
                last_flags,
            )
            one.more = payloads[first + 1 : behind]
            parts.append(one)
            flags = PARTIAL
        return Opened(run.seq, count, b"", run.flags, None, 0, 0, slab, parts=parts)

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
        exhaust(
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
