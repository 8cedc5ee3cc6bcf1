"""Noise Protocol Framework, revision 34: two parties exchange messages and come out with two keys.

Numbers in parentheses are sections of the specification, whose names the objects keep:

    CipherState     a key and the counter of its nonces (5.1)
    SymmetricState  what both sides have mixed so far: chaining key, transcript hash, cipher (5.2)
    HandshakeState  one side's walk through a pattern, token by token (5.3)

Tokens: `e` and `s` send an ephemeral and a static public key; two letters are a Diffie-Hellman
between the initiator's key (first letter) and the responder's (second); `psk` mixes in the
pre-shared key.

A peer can make two things fail here, each caught at one door: a tag that does not fit
(`CipherState.decrypt`) and a point of low order (`HandshakeState._exchange`).
"""

import struct
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import Drop, PeerError

KEY_BYTES = 32
TAG_BYTES = 16

# (7.4, 7.5, 9.4) Does the initiator know the responder's static key beforehand, and the tokens of
# each message; the initiator speaks first and then they take turns.
PATTERNS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "NK": (True, ("e es", "e ee")),
    "XX": (False, ("e", "e ee s es", "s se")),
    "IK": (True, ("e es s ss", "e ee se")),
    "IKpsk2": (True, ("e es s ss", "e ee se psk")),
}

# (12.3, 12.4) Both nonces are 4 zero bytes and the counter, but each in its own byte order.
CIPHERS: dict[str, tuple[type[AESGCM] | type[ChaCha20Poly1305], struct.Struct]] = {
    "AESGCM": (AESGCM, struct.Struct(">4xQ")),
    "ChaChaPoly": (ChaCha20Poly1305, struct.Struct("<4xQ")),
}

# (12.6, 12.7)
HASHES: dict[str, hashes.HashAlgorithm] = {
    "BLAKE2s": hashes.BLAKE2s(32),
    "SHA256": hashes.SHA256(),
}


class CipherState:
    """A key and the counter of its nonces (5.1); `cipher` is a name of CIPHERS."""

    def __init__(self, cipher: str, key: bytes, counter: int = 0) -> None:
        aead, self._nonce = CIPHERS[cipher]
        self._aead = aead(key)
        self._counter = counter

    def encrypt(self, associated: bytes, plaintext: bytes) -> bytes:
        """Seal `plaintext` under the next nonce; the result is TAG_BYTES longer."""
        self._counter += 1
        return self._aead.encrypt(self._nonce.pack(self._counter - 1), plaintext, associated)

    def decrypt(self, associated: bytes, ciphertext: bytes) -> bytes:
        """Open what the other side sealed next; PeerError leaves the counter as it was."""
        try:
            plaintext = self._aead.decrypt(self._nonce.pack(self._counter), ciphertext, associated)
        except InvalidTag as error:
            raise PeerError(Drop.BAD_HANDSHAKE, "a part does not open") from error
        self._counter += 1
        return plaintext


@dataclass(frozen=True)
class SymmetricState:
    """What both sides have mixed so far (5.2). Each step returns the state that follows it.

    Being a value, it makes an unreadable message easy to forget: the state before it is still
    there. That is why key and counter stand here, and a CipherState is made for each part.
    """

    cipher: str
    hash_algorithm: hashes.HashAlgorithm
    chaining_key: bytes
    transcript: bytes
    key: bytes | None = None
    counter: int = 0

    @classmethod
    def start(cls, protocol_name: str, cipher: str, hash_name: str) -> "SymmetricState":
        """Begin with the protocol's name, for example Noise_IK_25519_AESGCM_BLAKE2s."""
        algorithm, name = HASHES[hash_name], protocol_name.encode()
        first = name.ljust(32, b"\0") if len(name) <= 32 else _hash(algorithm, name)
        return cls(cipher, algorithm, chaining_key=first, transcript=first)

    def mix_hash(self, data: bytes) -> "SymmetricState":
        """Add something both sides have seen to the transcript."""
        return replace(self, transcript=_hash(self.hash_algorithm, self.transcript + data))

    def mix_key(self, secret: bytes) -> "SymmetricState":
        """Add something only both sides know; the next parts are sealed under it."""
        chaining_key, key = self._derive(secret, 2)
        return replace(self, chaining_key=chaining_key, key=key, counter=0)

    def mix_key_and_hash(self, secret: bytes) -> "SymmetricState":
        """Add a pre-shared key to both."""
        chaining_key, extra, key = self._derive(secret, 3)
        mixed = self.mix_hash(extra)
        return replace(mixed, chaining_key=chaining_key, key=key, counter=0)

    def encrypt_and_hash(self, plaintext: bytes) -> tuple["SymmetricState", bytes]:
        """Seal a part of a message (before the first key: leave it plain)."""
        if self.key is None:
            return self.mix_hash(plaintext), plaintext
        cipher = CipherState(self.cipher, self.key, self.counter)
        ciphertext = cipher.encrypt(self.transcript, plaintext)
        return replace(self.mix_hash(ciphertext), counter=self.counter + 1), ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> tuple["SymmetricState", bytes]:
        """Open a part of a message, or raise PeerError."""
        if self.key is None:
            return self.mix_hash(ciphertext), ciphertext
        cipher = CipherState(self.cipher, self.key, self.counter)
        plaintext = cipher.decrypt(self.transcript, ciphertext)
        return replace(self.mix_hash(ciphertext), counter=self.counter + 1), plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys for after the handshake: from the initiator, from the responder."""
        from_initiator, from_responder = self._derive(b"", 2)
        return from_initiator, from_responder

    def _derive(self, secret: bytes, count: int) -> list[bytes]:
        # Noise's HKDF (4.3) is RFC 5869's with the chaining key as salt and no info.
        hkdf = HKDF(self.hash_algorithm, count * 32, salt=self.chaining_key, info=None)
        output = hkdf.derive(secret)
        return [output[start : start + 32] for start in range(0, count * 32, 32)]


class HandshakeState:
    """One side of a handshake (5.3): call write_message and read_message in turns, then split.

    `protocol_name` is made of names in the tables above. Private keys are objects because making
    one from its bytes costs as much as a Diffie-Hellman; `ephemeral` must be fresh for each
    handshake. A pre-shared key may be set later in `psk`, once the peer is known.
    """

    def __init__(
        self,
        protocol_name: str,
        *,
        initiator: bool,
        ephemeral: X25519PrivateKey,
        static: X25519PrivateKey | None = None,
        remote_static: bytes | None = None,
        prologue: bytes = b"",
        psk: bytes | None = None,
    ) -> None:
        _, pattern, curve, cipher, hash_name = protocol_name.split("_")
        if curve != "25519":
            raise ValueError(f"{protocol_name}: only Curve25519 is known here")
        known_responder, messages = PATTERNS[pattern]
        self.psk = psk
        self._initiator = initiator
        self._messages = [message.split() for message in messages]
        self._mixes_psk = "psk" in messages[-1]
        self._mine = {"e": ephemeral} | ({"s": static} if static else {})
        self._theirs = {"s": remote_static} if remote_static else {}
        self._symmetric = SymmetricState.start(protocol_name, cipher, hash_name).mix_hash(prologue)
        if known_responder:
            responder = self._theirs["s"] if initiator else _public(self._mine["s"])
            self._symmetric = self._symmetric.mix_hash(responder)

    @property
    def remote_static(self) -> bytes:
        """The other side's static public key, once it is known."""
        return self._theirs["s"]

    @property
    def handshake_hash(self) -> bytes:
        """The transcript so far: equal on both sides, different in every handshake (11.2)."""
        return self._symmetric.transcript

    def write_message(self, payload: bytes) -> bytes:
        """Make the next message of the pattern."""
        state, parts = self._symmetric, []
        for token in self._messages.pop(0):
            if token == "e":
                parts.append(_public(self._mine["e"]))
                state = self._mix_ephemeral(state, parts[-1])
            elif token == "s":
                state, part = state.encrypt_and_hash(_public(self._mine["s"]))
                parts.append(part)
            else:
                state = self._mix_secret(state, token, self._theirs)
        self._symmetric, sealed = state.encrypt_and_hash(payload)
        return b"".join([*parts, sealed])

    def read_message(self, message: bytes) -> bytes:
        """Read the next message of the pattern and return its payload.

        PeerError leaves everything as it was: a forgery does not spoil the handshake, and the true
        message can still come.
        """
        state, theirs = self._symmetric, dict(self._theirs)
        for token in self._messages[0]:
            if token == "e":
                theirs["e"], message = _cut(message, KEY_BYTES)
                state = self._mix_ephemeral(state, theirs["e"])
            elif token == "s":
                sealed, message = _cut(message, KEY_BYTES + (TAG_BYTES if state.key else 0))
                state, theirs["s"] = state.decrypt_and_hash(sealed)
            else:
                state = self._mix_secret(state, token, theirs)
        state, payload = state.decrypt_and_hash(message)
        del self._messages[0]
        self._symmetric, self._theirs = state, theirs
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys for after the handshake: to send with, to receive with."""
        from_initiator, from_responder = self._symmetric.split()
        if self._initiator:
            return from_initiator, from_responder
        return from_responder, from_initiator

    def _mix_ephemeral(self, state: SymmetricState, public: bytes) -> SymmetricState:
        state = state.mix_hash(public)
        # (9.2) With a psk, the ephemeral also randomizes the key, for it may seal before any DH.
        return state.mix_key(public) if self._mixes_psk else state

    def _mix_secret(
        self, state: SymmetricState, token: str, theirs: dict[str, bytes]
    ) -> SymmetricState:
        if token != "psk":
            mine, other = (token[0], token[1]) if self._initiator else (token[1], token[0])
            return state.mix_key(self._exchange(self._mine[mine], theirs[other]))
        if self.psk is None:
            raise ValueError("the pattern mixes a pre-shared key, but none is set")
        return state.mix_key_and_hash(self.psk)

    @staticmethod
    def _exchange(mine: X25519PrivateKey, theirs: bytes) -> bytes:
        try:
            return mine.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError as error:  # a point of low order: the secret would be zero, known to all
            raise PeerError(Drop.BAD_HANDSHAKE, "a public key of low order") from error


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _cut(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise PeerError(Drop.BAD_HANDSHAKE, "a message ends early")
    return message[:size], message[size:]


def _hash(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()
