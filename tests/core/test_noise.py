"""noise.py against published vectors, with the ephemeral keys they prescribe."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.core.handshaking import LOW_ORDER_POINTS
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.noise import CipherState, HandshakeState

EXCERPT = Path(__file__).with_name("noise_vectors_excerpt.json")
# A directory beside the checkout may hold all 92 vectors of cacophony, snow and flynn/noise.
ALL = Path(__file__).parents[3] / "shared" / "vectors" / "noise_vectors.json"
VECTORS = json.loads((ALL if ALL.exists() else EXCERPT).read_text())["vectors"]


def party(vector: dict[str, Any], side: str) -> HandshakeState:
    def private(name: str) -> X25519PrivateKey | None:
        text = vector.get(f"{side}_{name}")
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(text)) if text else None

    ephemeral, psks = private("ephemeral"), vector.get(f"{side}_psks")
    assert ephemeral is not None
    remote = vector.get(f"{side}_remote_static")
    return HandshakeState(
        vector["protocol_name"],
        initiator=side == "init",
        ephemeral=ephemeral,
        static=private("static"),
        remote_static=bytes.fromhex(remote) if remote else None,
        prologue=bytes.fromhex(vector.get(f"{side}_prologue", "")),
        psk=bytes.fromhex(psks[0]) if psks else None,
    )


@pytest.mark.parametrize(
    "vector", VECTORS, ids=[f"{v['source']}-{v['protocol_name']}" for v in VECTORS]
)
def test_both_sides_speak_the_published_bytes(vector: dict[str, Any]) -> None:
    sides = {"init": party(vector, "init"), "resp": party(vector, "resp")}
    other = {"init": "resp", "resp": "init"}
    messages = [
        (m["from"], bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"]))
        for m in vector["messages"]
    ]
    handshake_length = 3 if "_XX_" in vector["protocol_name"] else 2

    for sender, payload, ciphertext in messages[:handshake_length]:
        assert sides[sender].write_message(payload) == ciphertext
        assert sides[other[sender]].read_message(ciphertext) == payload

    assert sides["init"].handshake_hash == sides["resp"].handshake_hash
    if "handshake_hash" in vector:
        assert sides["init"].handshake_hash.hex() == vector["handshake_hash"]

    cipher = vector["protocol_name"].split("_")[3]
    sending, receiving = {}, {}
    for name, side in sides.items():
        send_key, receive_key = side.split()
        sending[name] = CipherState(cipher, send_key)
        receiving[name] = CipherState(cipher, receive_key)
    for sender, payload, ciphertext in messages[handshake_length:]:
        assert sending[sender].encrypt(b"", payload) == ciphertext
        assert receiving[other[sender]].decrypt(b"", ciphertext) == payload


def ik_pair() -> tuple[HandshakeState, HandshakeState]:
    name = "Noise_IK_25519_ChaChaPoly_BLAKE2s"
    keys = [X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3, 4)]
    server = keys[1].public_key().public_bytes_raw()
    initiator = HandshakeState(
        name, initiator=True, static=keys[0], ephemeral=keys[2], remote_static=server
    )
    return initiator, HandshakeState(name, initiator=False, static=keys[1], ephemeral=keys[3])


def test_a_forged_message_leaves_the_handshake_able_to_read_the_true_one() -> None:
    initiator, responder = ik_pair()
    true = initiator.write_message(b"hello")

    for position in range(len(true)):
        forged = bytearray(true)
        forged[position] ^= 1
        with pytest.raises(PeerError) as caught:
            responder.read_message(bytes(forged))
        assert caught.value.reason is Drop.BAD_HANDSHAKE
    for length in range(len(true)):
        with pytest.raises(PeerError):
            responder.read_message(true[:length])

    assert responder.read_message(true) == b"hello"
    assert initiator.read_message(responder.write_message(b"welcome")) == b"welcome"
    assert initiator.split() == responder.split()[::-1]


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_point_of_low_order_is_refused_as_ephemeral_and_as_static_key(point: bytes) -> None:
    initiator, responder = ik_pair()
    with pytest.raises(PeerError) as caught:
        responder.read_message(point + initiator.write_message(b"")[32:])
    assert caught.value.reason is Drop.BAD_HANDSHAKE

    key = X25519PrivateKey.from_private_bytes(bytes([5]) * 32)
    to_nobody = HandshakeState(
        "Noise_IK_25519_AESGCM_SHA256",
        initiator=True,
        static=key,
        ephemeral=key,
        remote_static=point,
    )
    with pytest.raises(PeerError) as caught:
        to_nobody.write_message(b"")
    assert caught.value.reason is Drop.BAD_HANDSHAKE


def test_a_pattern_with_a_psk_does_not_go_on_without_one() -> None:
    keys = [X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2)]
    name = "Noise_IKpsk2_25519_AESGCM_BLAKE2s"
    server = keys[1].public_key().public_bytes_raw()
    initiator = HandshakeState(
        name, initiator=True, static=keys[0], ephemeral=keys[0], remote_static=server
    )
    responder = HandshakeState(name, initiator=False, static=keys[1], ephemeral=keys[1])
    responder.read_message(initiator.write_message(b""))
    with pytest.raises(ValueError, match="pre-shared key"):
        responder.write_message(b"")


def test_another_curve_is_not_taken_for_this_one() -> None:
    key = X25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    with pytest.raises(ValueError, match="Curve25519"):
        HandshakeState("Noise_NK_448_AESGCM_BLAKE2s", initiator=False, static=key, ephemeral=key)
