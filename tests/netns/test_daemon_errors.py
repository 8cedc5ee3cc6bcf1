"""What the operator got wrong ends in one sentence, exit code 1, and nothing left behind."""

import os
import socket
import sys
from collections.abc import Sequence

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.tunnel import DEVICE, PORT
from tests.netns.ends import Ends, has_device
from wrrtun.linux.tap import Tap

pytestmark = pytest.mark.root

NOBODY = 65534


def refusal(namespace: Namespace, *words: str, wrapper: Sequence[str] = ()) -> str:
    """Run wrrtun, which must refuse; return its sentence."""
    done = namespace.run([*wrapper, sys.executable, "-m", "wrrtun", *words], 30.0)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *before, last = done.stderr.splitlines()
    assert all(line.startswith("WARNING link ") for line in before)
    assert last.startswith("Error: ")
    return last.removeprefix("Error: ")


def client_words(ends: Ends, link: str = "lineA:1", server: str = SERVER_ADDRESS) -> list[str]:
    home = ends.home
    return [
        *("client", "--key-file", str(home.key_file), "--server", f"{server}:{PORT}"),
        *("--server-key", ends.vps.public_key, "--link", link, "--dev", DEVICE),
        *("--socket", str(home.directory / "socket")),
    ]


def server_words(ends: Ends, listen: str = str(PORT)) -> list[str]:
    vps = ends.vps
    return [
        *("server", "--key-file", str(vps.key_file), "--listen", listen, "--dev", DEVICE),
        *("--peer", f"home={ends.home.public_key}", "--socket", str(vps.directory / "socket")),
    ]


def nothing_is_left(ends: Ends) -> bool:
    return (
        not has_device(ends.lab.client)
        and not has_device(ends.lab.server)
        and not any(ends.room.glob("*/socket"))
    )


def test_a_device_name_that_is_taken(ends: Ends, lab: Lab) -> None:
    for namespace, words in ((lab.client, client_words(ends)), (lab.server, server_words(ends))):
        with namespace.entered():
            taken = Tap(DEVICE)
        with taken:
            assert f"the device {DEVICE} is in use" in refusal(namespace, *words)
    assert nothing_is_left(ends)


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("nosuch0:1", "there is no network interface nosuch0"),
        ("lineA:7:1", "no address has the label lineA:7"),
        ("192.0.2.77:1", "the address 192.0.2.77 is not on this machine"),
        ("[fd00:1:1::2]:1", "IPv6"),
    ],
)
def test_a_link_that_this_machine_does_not_have(ends: Ends, link: str, sentence: str) -> None:
    assert sentence in refusal(ends.lab.client, *client_words(ends, link))
    assert nothing_is_left(ends)


def test_a_server_s_name_that_does_not_resolve(ends: Ends) -> None:
    words = client_words(ends, server="vps.example.invalid")
    impatient = ["env", "RES_OPTIONS=timeout:1 attempts:1"]  # there is no DNS here
    said = refusal(ends.lab.client, *words, wrapper=impatient)
    assert "vps.example.invalid does not resolve" in said
    assert nothing_is_left(ends)


def test_a_bridge_that_does_not_exist(ends: Ends, lab: Lab) -> None:
    for namespace, words in ((lab.client, client_words(ends)), (lab.server, server_words(ends))):
        said = refusal(namespace, *words, "--bridge", "nosuch0")
        assert "there is no network interface nosuch0" in said
    assert nothing_is_left(ends)


def test_a_port_in_use(ends: Ends, lab: Lab) -> None:
    with lab.server.entered():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.bind(("0.0.0.0", PORT))
        assert f"UDP port {PORT} is in use" in refusal(lab.server, *server_words(ends))
    assert nothing_is_left(ends)


def test_an_address_to_listen_on_that_this_machine_does_not_have(ends: Ends) -> None:
    said = refusal(ends.lab.server, *server_words(ends, f"192.0.2.77:{PORT}"))
    assert "the address 192.0.2.77 is not on this machine" in said
    assert nothing_is_left(ends)


def test_a_control_socket_that_another_daemon_answers_at(ends: Ends) -> None:
    running = ends.server()
    words = [*server_words(ends, "51821"), "--socket", str(running.socket), "--dev", "wrr9"]
    assert "another wrrtun answers" in refusal(ends.lab.server, *words)
    assert running.answers()
    assert not has_device(ends.lab.server, "wrr9")


@pytest.mark.parametrize("fault", ["mode", "content", "missing", "link"])
def test_a_key_file_that_is_not_fit(ends: Ends, fault: str) -> None:
    file = ends.home.key_file
    key = file.read_text().strip()
    if fault == "mode":
        file.chmod(0o644)
    elif fault == "content":
        file.write_text(f"{key[:-3]}\n")
    else:
        file.rename(file.with_name("elsewhere"))
    if fault == "link":
        file.symlink_to("elsewhere")
    said = refusal(ends.lab.client, *client_words(ends))
    assert str(file) in said
    assert key[:10] not in said
    assert nothing_is_left(ends)


def test_a_user_without_the_right_to_make_devices(ends: Ends, lab: Lab) -> None:
    ends.room.chmod(0o755)
    for path in ends.room.rglob("*"):
        os.chown(path, NOBODY, NOBODY)
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for namespace, words in ((lab.client, client_words(ends)), (lab.server, server_words(ends))):
        assert "needs root or CAP_NET_ADMIN" in refusal(namespace, *words, wrapper=nobody)
    assert nothing_is_left(ends)
