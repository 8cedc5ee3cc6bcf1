from functools import partial

import pytest

from bench.lab import topology
from bench.lab.topology import SERVER_ADDRESS
from bench.profiles import PROFILES
from bench.traffic import Load, start_load, start_ping, throughput
from bench.tunnel import SERVER_INSIDE, tunnel
from tests.netns.ends import links_up, lost_nothing, only_peer

LINKS = ["lineA:10mbit", "lineB:3mbit"]
# A guest that has to share its CPU has seconds in which nothing gets through in time.
TRIES = 3


@pytest.mark.uml
def test_two_lines_carry_more_than_the_better_one_and_lose_nothing() -> None:
    with topology.shaped(PROFILES["adsl-mobile"]) as lab:
        bare = throughput(lab.client, lab.server, SERVER_ADDRESS, Load(4.0, device="lineA"))
        with tunnel(lab, LINKS) as pair:
            for end in (pair.server, pair.client):
                end.wait_until(partial(links_up, end), "up", 20.0, 0.2)
            seconds: list[float] = []
            for _ in range(TRIES):
                load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(8.0))
                answers = start_ping(lab.client, SERVER_INSIDE, 6.0, 0.2).result()
                seconds += load.result().intervals
                if max(seconds) > max(bare.intervals):
                    break
            assert lost_nothing(pair.client)
            sender, receiver = only_peer(pair.server), only_peer(pair.client)
    assert max(seconds) > max(bare.intervals)
    assert answers.lost == 0.0
    assert [link.share for link in sender.links] == pytest.approx([10 / 13, 3 / 13], abs=0.03)
    assert all(link.received_datagrams > 100 for link in receiver.links)
