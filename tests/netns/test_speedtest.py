"""`wrrtun speedtest` measures each line alone and all together, and leaves everything as it was."""

import re
import sys
import time

import pytest

from bench.lab.topology import Lab
from bench.traffic import ping
from bench.tunnel import SERVER_INSIDE
from tests.netns.ends import Ends, only_peer
from wrrtun.cli_speedtest import report
from wrrtun.linux.control_socket import fetch
from wrrtun.speedtest import Speed

RATES = re.compile(r"^(\S+) +([\d.]+) Mbit/s +([\d.]+) Mbit/s$", re.MULTILINE)


def test_a_report_has_each_line_the_sum_and_what_to_configure() -> None:
    found = {"eth0": Speed(9.6e6, 0.91e6), "wwan0": Speed(2.9e6, 0.4e6)}
    text = "\n".join(report(found, Speed(11.9e6, 1.2e6)))
    assert text.splitlines()[1].split() == ["eth0", "9.6", "Mbit/s", "910.0", "kbit/s"]
    assert "together is 95% of the sum down, 92% up" in text
    assert 'as weights: link = ["eth0:9.6/0.91", "wwan0:2.9/0.4"]' in text


@pytest.mark.root
def test_each_line_alone_and_all_together(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel(links=("lineA:20mbit", "lineB:6mbit"))
    wrrtun = [sys.executable, "-m", "wrrtun", "speedtest"]
    lab.server.popen([*wrrtun, "--serve", "--socket", str(pair.server.socket)])
    before = [link.share for link in only_peer(pair.client).links]
    assert before
    socket = ["--socket", str(pair.client.socket)]
    for _ in range(50):
        done = lab.client.run([*wrrtun, *socket, "--seconds", "2"], 60.0)
        if "refused" not in done.stderr:  # the server's end is up
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    rates = {name: (float(down), float(up)) for name, down, up in RATES.findall(done.stdout)}
    assert rates.keys() == {"lineA", "lineB", "sum", "together"}
    # The pacers hold each line at its rate: none can have used the other one too. What TCP had to
    # put in order may reach the program a little later than it came, and count in these 2 s.
    assert 10.0 < min(rates["lineA"]) <= max(rates["lineA"]) < 23.0
    assert 3.0 < min(rates["lineB"]) <= max(rates["lineB"]) < 9.0
    assert max(rates["lineA"]) < min(rates["together"])
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


@pytest.mark.root
def test_without_the_server_s_part_it_says_what_to_run(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    argv = [sys.executable, "-m", "wrrtun", "speedtest", "--socket", str(pair.client.socket)]
    done = lab.client.run(argv, 30.0)
    assert done.returncode == 1
    assert "run wrrtun speedtest --serve on the server" in done.stderr
    assert "Traceback" not in done.stderr
    # Nothing is left standing by.
    assert fetch(pair.client.socket, "only all", 5.0) == b"now only all\n"


@pytest.mark.root
def test_what_cannot_be_measured_is_refused(ends: Ends) -> None:
    pair = ends.tunnel()
    assert b"only the client chooses links" in fetch(pair.server.socket, "only 0 5", 5.0)
    for request in ("x 3", "1 x", "99 1", "0", "0 nan", "0 -1", "0 1e9", "all 1 2"):
        assert not fetch(pair.client.socket, f"only {request}", 5.0).startswith(b"now ")
