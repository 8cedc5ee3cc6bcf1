import pytest

from bench.contenders import Way
from bench.contenders.all import CONTENDERS
from bench.lab import topology
from bench.lab.topology import SERVER_ADDRESS, SERVER_ADDRESS6, Lab
from bench.profiles import PROFILES
from bench.workloads import Outcome
from bench.workloads.all import WORKLOADS

SENDING = ["tcp-down", "tcp-up", "tcp-both", "tcp-down-4", "tcp-down-bbr", "download", "quic"]


def run(lab: Lab, name: str, address: str, seconds: float = 1.0) -> Outcome:
    """Run a workload over the second line."""
    workload = WORKLOADS[name]
    missing = workload.available()
    if missing is not None:
        pytest.skip(missing)
    return workload.run(Way(lab.client, lab.server, address, lab.lines[1].device), seconds, 1)


@pytest.mark.root
@pytest.mark.parametrize("address", [SERVER_ADDRESS, SERVER_ADDRESS6])
@pytest.mark.parametrize("name", SENDING)
def test_what_is_sent_goes_over_the_line_that_was_asked_for(
    lab: Lab, name: str, address: str
) -> None:
    before = lab.client.counters(lab.lines[1].device)
    outcome = run(lab, name, address)
    after = lab.client.counters(lab.lines[1].device)
    assert outcome.goodput_bits_per_second is not None
    payload_bytes = outcome.goodput_bits_per_second / 8
    carried = sum(after[key] - before[key] for key in ("rx_bytes", "tx_bytes"))
    assert carried > 0.9 * payload_bytes > 1000
    assert len(outcome.intervals) >= 1


@pytest.mark.root
@pytest.mark.parametrize("address", [SERVER_ADDRESS, SERVER_ADDRESS6])
def test_pages_are_complete(lab: Lab, address: str) -> None:
    figures = run(lab, "page", address, 0.5).figures
    assert figures["pages"] >= 1
    assert figures["pages_given_up"] == 0
    assert 0 < figures["object_seconds"] <= figures["page_seconds"]


@pytest.mark.root
@pytest.mark.parametrize("address", [SERVER_ADDRESS, SERVER_ADDRESS6])
def test_both_ends_of_a_call_hear_each_other(lab: Lab, address: str) -> None:
    outcome = run(lab, "voice", address)
    assert outcome.lost == 0.0
    for direction in ("down", "up"):
        assert outcome.figures[f"{direction}_delay_p50_seconds"] < 0.1
        assert outcome.figures[f"{direction}_reordered_share"] == 0.0


@pytest.mark.uml
def test_a_call_feels_the_line_and_what_is_sent_beside_it() -> None:
    profile = PROFILES["adsl-mobile"]
    with topology.shaped(profile) as lab, CONTENDERS["bare-1"].up(lab, profile) as way:
        idle = WORKLOADS["voice"].run(way, 2.0, 1)
        assert idle.figures["down_delay_p50_seconds"] == pytest.approx(0.011, abs=0.004)
        assert idle.figures["up_delay_p50_seconds"] == pytest.approx(0.011, abs=0.004)
        loaded = WORKLOADS["voice-tcp"].run(way, 3.0, 1)
        # TCP fills the modem's queue; nothing goes up but its acknowledgements.
        assert loaded.figures["down_delay_p95_seconds"] > 0.05
        assert loaded.figures["up_delay_p50_seconds"] < 0.03


@pytest.mark.uml
def test_pages_downloads_and_quic_take_what_the_line_gives() -> None:
    profile = PROFILES["adsl-mobile"]
    with topology.shaped(profile) as lab, CONTENDERS["bare-1"].up(lab, profile) as way:
        for name in ("download", "quic"):
            rate = WORKLOADS[name].run(way, 4.0, 1).goodput_bits_per_second
            assert rate is not None
            assert 5e6 < rate < 10e6
        page = WORKLOADS["page"].run(way, 1.0, 1).figures
        # 50 objects of 110 KB on average are 44 Mbit.
        assert 3.5 < page["page_seconds"] < 9.0
