"""One side of IKpsk2, spoken by PyPI's noiseprotocol; test_noise_oracle.py runs this.

That package (of 2020) lives in an environment of its own, since it installs a top-level package
called `tests`. Usage: noise_oracle.py NAME PROLOGUE STATIC PSK [REMOTE_STATIC], all but the name in
hex; with REMOTE_STATIC it is the initiator. Each line on standard input is the other side's
message and the payload to answer with ("-" for none); each line on standard output is a payload and
the answer. The last line are the two keys, to send and to receive with.
"""

import sys

from noise.connection import Keypair, NoiseConnection  # type: ignore[import-not-found]


def main() -> None:
    name, prologue, static, psk, *remote = sys.argv[1:]
    noise = NoiseConnection.from_name(name.encode())
    noise.set_prologue(bytes.fromhex(prologue))
    noise.set_psks(bytes.fromhex(psk))
    noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(static))
    if remote:
        noise.set_as_initiator()
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, bytes.fromhex(remote[0]))
    else:
        noise.set_as_responder()
    noise.start_handshake()
    while not noise.handshake_finished:
        message, payload = sys.stdin.readline().split()
        told = noise.read_message(bytes.fromhex(message)) if message != "-" else b""
        answer = noise.write_message(bytes.fromhex(payload)) if payload != "-" else b""
        print(told.hex() or "-", answer.hex() or "-", flush=True)
    ciphers = noise.noise_protocol
    print(ciphers.cipher_state_encrypt.k.hex(), ciphers.cipher_state_decrypt.k.hex(), flush=True)


if __name__ == "__main__":
    main()
