"""Links that stand by, budgets and copies, with real daemons."""

import json
import socket
from pathlib import Path

import pytest

from bench.lab.topology import Lab
from bench.traffic import ping
from bench.tunnel import SERVER_INSIDE
from tests.netns.ends import Ends, eventually, only_peer

pytestmark = pytest.mark.root


def test_a_backup_takes_over_when_the_other_line_goes_down(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel(links=["lineA:10", "lineB:3,backup"])
    roles = [[link.role for link in only_peer(end).links] for end in (pair.client, pair.server)]
    assert roles == [["usual", "backup"]] * 2
    running = ping(lab.client, SERVER_INSIDE, 1.0)
    assert running.lost == 0.0
    sent = only_peer(pair.client).links[1].sent_datagrams
    lab.client.iproute.link("set", index=lab.client.index("lineA"), state="down")
    eventually(lambda: ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0)
    assert only_peer(pair.client).links[1].sent_datagrams > sent


def test_a_budget_is_kept_across_restarts_and_told_to_the_server(
    ends: Ends, lab: Lab, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    server = ends.server()
    options = ["--state-dir", str(state)]
    client = ends.client(*options, links=["lineA:10", "lineB:3,metered=1MB"])
    ends.up(server, client)
    assert client.stop() == 0
    file = state / "client-metered.json"
    first = json.loads(file.read_text())["lineB"]["bytes"]
    assert 0 < first < 1_000_000

    file.write_text(json.dumps({"lineB": {"month": "2999-01", "bytes": 800_000}}))
    client = ends.client(*options, links=["lineA:10", "lineB:3,metered=1MB"])
    ends.up(server, client)
    for end in (client, server):
        link = only_peer(end).links[1]
        assert (link.role, link.part) == ("metered", 0.4)
    assert client.stop() == 0
    assert json.loads(file.read_text())["lineB"]["bytes"] > 800_000

    file.write_text("{")
    client = ends.client(*options, links=["lineA:10", "lineB:3,metered=1MB"])
    ends.up(server, client)
    assert only_peer(server).links[1].part == 1.0


def test_redundant_ends_send_everything_twice_and_deliver_it_once(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel("--redundant", links=["lineA:100mbit", "lineB:50mbit"])
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0  # the neighbour is known
    before = [link.sent_bytes for link in only_peer(pair.client).links]
    with lab.client.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for _ in range(200):
            sender.sendto(bytes(1200), (SERVER_INSIDE, 9))
    eventually(lambda: only_peer(pair.server).reorder.spare_copies >= 200)
    after = [link.sent_bytes for link in only_peer(pair.client).links]
    assert all(now - then > 200 * 1200 for now, then in zip(after, before, strict=True))
    assert only_peer(pair.server).drops.get("replayed", 0) < 10
