"""What a running daemon shows: page, JSON, metrics, log, hooks, sums, and its word to systemd."""

import contextlib
import http.client
import json
import os
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.lab.namespace import Namespace
from bench.lab.topology import Lab
from bench.processes import ProcessError
from bench.traffic import Load, throughput
from bench.tunnel import SERVER_INSIDE
from tests.netns.ends import Ends, eventually, only_peer
from wrrtun.status import Snapshot

pytestmark = pytest.mark.root

WEB_PORT = 8080
WEB = ("--web", str(WEB_PORT))


def ask(
    namespace: Namespace, path: str, method: str = "GET", host: str = f"localhost:{WEB_PORT}"
) -> tuple[int, dict[str, str], bytes]:
    """Ask the web server on a namespace's loopback; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", WEB_PORT, timeout=5.0)
    with namespace.entered():
        connection.connect()
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_the_page_and_its_data_are_served_to_whoever_asks_in_earnest(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel(*WEB)
    status, headers, body = ask(lab.client, "/")
    assert status == 200
    assert body.startswith(b"<!doctype html>")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]

    status, headers, body = ask(lab.client, "/status.json?again")
    assert (status, headers["content-type"]) == (200, "application/json")
    answer = json.loads(body)
    seen = Snapshot.from_json(json.dumps(answer["status"]).encode())
    assert [link.name for link in seen.peers[0].links] == ["lineA", "lineB"]
    assert "session up" in [event["message"] for event in answer["events"]]
    assert set(answer["carried"]) == {"days", "months"}

    status, headers, body = ask(lab.client, "/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1000
    assert pair.client.answers()


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/etc/passwd", "localhost", 404),
        ("GET", "/../page.html", "127.0.0.1", 404),
        ("POST", "/", "localhost", 405),
        ("GET", "/", "evil.example", 421),
        ("GET", "/", "evil.example:8080", 421),
        ("GET", "/", "localhost.evil.example", 421),
        ("GET", "/", "127.0.0.1.evil.example", 421),
        ("GET", "/", "[::1]:8080", 200),
        ("GET", "/", "LOCALHOST:8080", 200),
        ("GET", "/", "", 421),
    ],
)
def test_a_request_gets_what_it_may_have(
    one_server: Namespace, method: str, path: str, host: str, status: int
) -> None:
    found, headers, body = ask(one_server, path, method, host)
    assert found == status
    assert headers["x-content-type-options"] == "nosniff"
    if status != 200:
        assert b"evil" not in body
        assert b"passwd" not in body


def test_what_is_no_request_is_cut_off_and_the_daemon_lives(one_server: Namespace) -> None:
    for sent in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"A" * 100_000, b"GET / HTTP/9.9\r\n\r\n"):
        with one_server.entered():
            client = socket.create_connection(("127.0.0.1", WEB_PORT), 5.0)
        with client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert not client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert ask(one_server, "/")[0] == 200


def test_the_metrics_are_what_prometheus_reads(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel(*WEB)
    throughput(lab.client, lab.server, SERVER_INSIDE, Load(1.0))
    status, headers, body = ask(lab.client, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    by_link = {
        sample.labels["name"]: sample.value
        for sample in families["wrrtun_link_sent_bytes"].samples
        if sample.name.endswith("_total")
    }
    links = only_peer(pair.client).links
    assert by_link.keys() == {"lineA", "lineB"}
    assert all(0 < by_link[link.name or ""] <= link.sent_bytes for link in links)
    assert [sample.value for sample in families["wrrtun_session_up"].samples] == [1.0]
    states = {
        (sample.labels["name"], sample.labels["state"])
        for sample in families["wrrtun_link_state"].samples
        if sample.value == 1.0
    }
    assert states == {("lineA", "up"), ("lineB", "up")}
    assert {family.documentation for family in families.values()} >= {"What runs here."}


def test_a_port_of_the_page_that_is_taken_is_one_sentence(ends: Ends, lab: Lab) -> None:
    with lab.client.entered():
        other = socket.create_server(("127.0.0.1", WEB_PORT))
    with other:
        client = ends.client(*WEB)
        with pytest.raises(ProcessError, match=r"no web page on 127\.0\.0\.1 port 8080"):
            client.wait_until(lambda: False, "gone", 10.0, 0.05)
        assert "Traceback" not in client.output()


def test_hooks_are_told_what_happened_and_to_what(ends: Ends, lab: Lab) -> None:
    told = ends.room / "told"
    script = ends.home.directory / "hook"
    script.write_text(
        f'#!/bin/sh\nenv | grep ^WRRTUN_ | sort | tr "\\n" "\\t" >>{told}\necho >>{told}\n'
    )
    script.chmod(0o755)
    hooks = "".join(f'{name} = "{script}"\n' for name in ("on_up", "on_down", "on_link_down"))
    config = ends.home.write("client.toml", f'[hooks]\n{hooks}on_link_up = ["/no/such"]\n')
    server = ends.server()
    client = ends.client("--config", config)
    ends.up(server, client)

    def lines() -> list[dict[str, str]]:
        text = told.read_text() if told.exists() else ""
        return [
            dict(word.split("=", 1) for word in line.strip().split("\t"))
            for line in text.splitlines()
        ]

    eventually(lambda: len(lines()) == 1)
    assert lines()[0] == {
        "WRRTUN_HOOK": "on_up",
        "WRRTUN_ROLE": "client",
        "WRRTUN_PEER": "server",
        "WRRTUN_DEVICE": "wrr0",
    }
    lab.client.iproute.link("set", index=lab.client.index("lineB"), state="down")
    eventually(lambda: len(lines()) == 2)
    down = lines()[1]
    assert (down["WRRTUN_HOOK"], down["WRRTUN_LINK"]) == ("on_link_down", "1")
    assert (down["WRRTUN_LINK_NAME"], down["WRRTUN_BEFORE"]) == ("lineB", "up")
    assert down["WRRTUN_AFTER"] in ("down", "stalled")
    server.stop()
    eventually(lambda: len(lines()) == 3)
    assert lines()[2]["WRRTUN_HOOK"] == "on_down"
    assert "hook /no/such: No such file or directory" in client.output()


def test_a_hook_that_hangs_holds_up_nothing_and_ends_with_the_daemon(ends: Ends) -> None:
    config = ends.home.write("client.toml", '[hooks]\non_up = "sleep 1000.25"\n')
    server = ends.server()
    client = ends.client("--config", config)
    ends.up(server, client)
    eventually(lambda: "1000.25" in _words_of_children(client.pid))
    assert client.stop() == 0
    eventually(lambda: not any("1000.25" in words for words in _all_words()))


def _all_words() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def _words_of_children(pid: int) -> str:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return " ".join(Path(f"/proc/{child}/cmdline").read_text() for child in children)


def test_the_log_can_be_json_with_each_fact_by_its_name(ends: Ends) -> None:
    pair = ends.tunnel("--log-format", "json")
    pair.client.stop()
    lines = [json.loads(line) for line in pair.client.output().splitlines()]
    up = next(line for line in lines if line["message"] == "session up")
    assert (up["level"], up["peer"]) == ("info", "server")
    assert up["time"].endswith("Z")
    changed = [line for line in lines if line["message"] == "link changed"]
    assert {line["link"] for line in changed} == {0, 1}
    assert "message" not in pair.server.output()
    assert "INFO session up peer=home id=" in pair.server.output()


def test_sums_outlive_the_daemon(ends: Ends, lab: Lab) -> None:
    state = ends.room / "state"
    options = (*WEB, "--state-dir", str(state))
    pair = ends.tunnel(*options)
    throughput(lab.client, lab.server, SERVER_INSIDE, Load(1.0))
    pair.client.stop()
    kept = json.loads((state / "client-traffic.json").read_bytes())
    ((_day, lines),) = kept["days"].items()
    assert lines.keys() == {"lineA", "lineB"}
    assert sum(line["sent_bytes"] + line["received_bytes"] for line in lines.values()) > 1_000_000
    ends.up(ends.client(*options), pair.server)
    again = json.loads(ask(lab.client, "/status.json")[2])["carried"]
    ((_month, after),) = again["months"].items()
    assert all(after[name]["sent_bytes"] > lines[name]["sent_bytes"] for name in lines)


def test_a_state_directory_that_cannot_be_used_is_a_warning(ends: Ends, lab: Lab) -> None:
    state = ends.room / "state"
    state.mkdir()
    (state / "client-traffic.json").write_text("{not sums")
    pair = ends.tunnel("--state-dir", str(state))
    assert "begin anew" in pair.client.output()
    assert (state / "client-traffic.bad").read_text() == "{not sums"
    pair.client.stop()
    assert json.loads((state / "client-traffic.json").read_bytes())["days"]


@pytest.mark.parametrize("state", ["/sys/kernel", "/dev/null/state"], ids=["read-only", "no place"])
def test_what_cannot_be_kept_keeps_no_client_from_connecting(ends: Ends, state: str) -> None:
    links = ("lineA:10", "lineB:3,metered=1GB")
    pair = ends.tunnel("--state-dir", state, links=links)
    assert pair.client.stop() == 0
    said = pair.client.output()
    assert "Traceback" not in said
    assert state in said


def test_systemd_is_told_that_the_daemon_is_ready_alive_and_stopping(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ends.room / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10.0)
        ends.server()
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        client = ends.client()
        words = systemd.recv(4096).decode().splitlines()
        assert words[0] == "READY=1"
        assert os.path.exists(f"/proc/{client.pid}")
        seen: set[str] = set()
        while not {"WATCHDOG=1", "STATUS=server: 2 of 2 links up"} <= seen:
            seen |= set(systemd.recv(4096).decode().splitlines())
        client.stop()
        while "STOPPING=1" not in seen:
            seen |= set(systemd.recv(4096).decode().splitlines())


@pytest.fixture
def one_server(ends: Ends, lab: Lab) -> Namespace:
    """A namespace with a server that has a web page."""
    ends.server(*WEB)
    eventually(lambda: is_served(lab.server))  # soon after the control socket answers
    return lab.server


def is_served(namespace: Namespace) -> bool:
    try:
        return ask(namespace, "/")[0] == 200
    except ConnectionRefusedError:
        return False
