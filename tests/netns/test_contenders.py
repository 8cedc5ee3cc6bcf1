import pytest

from bench.contenders import Contender
from bench.contenders.all import CONTENDERS
from bench.lab import topology
from bench.lab.topology import Lab
from bench.profiles import PROFILES, Profile
from bench.traffic import Load, ping, throughput

TUNNELS = ["openvpn", "wireguard-go", "wrrtun-rates", "wrrtun-weights", "wrrtun-found"]
BONDS = ["bond-udp", "bond-tcp", "bond-delayed"]


def carries(contender: Contender, lab: Lab, profile: Profile, seconds: float) -> float:
    """Bring a contender up and send through it; skip where it cannot run."""
    missing = contender.available(lab)
    if missing is not None:
        pytest.skip(missing)
    with contender.up(lab, profile) as way:
        assert ping(way.client, way.address, 0.5, device=way.device).lost < 1.0
        load = Load(seconds, device=way.device, wrap=way.wrap)
        return throughput(way.client, way.server, way.address, load).bits_per_second


@pytest.mark.root
@pytest.mark.parametrize("name", TUNNELS)
def test_a_tunnel_carries_traffic_and_leaves_nothing_behind(lab: Lab, name: str) -> None:
    before = [len(list(end.iproute.get_links())) for end in (lab.client, lab.server)]
    assert carries(CONTENDERS[name], lab, PROFILES["two-wires"], 1.0) > 1e6
    assert [len(list(end.iproute.get_links())) for end in (lab.client, lab.server)] == before


@pytest.mark.root
def test_multipath_tcp_uses_every_line(lab: Lab) -> None:
    before = [lab.client.counters(line.device)["rx_bytes"] for line in lab.lines]
    assert carries(CONTENDERS["mptcp"], lab, PROFILES["two-wires"], 1.0) > 1e6
    after = [lab.client.counters(line.device)["rx_bytes"] for line in lab.lines]
    assert all(now - then > 1e6 for now, then in zip(after, before, strict=True))


@pytest.mark.root
def test_a_line_that_a_profile_does_not_have_is_not_available(lab: Lab) -> None:
    assert CONTENDERS["bare-2"].available(lab) is None
    assert CONTENDERS["bare-3"].available(lab) == "the profile has no such line"


@pytest.mark.uml
def test_bonds_over_openvpn_carry_less_than_the_better_line_alone() -> None:
    profile = PROFILES["adsl-mobile"]
    with topology.shaped(profile) as lab:
        for name in BONDS:
            rate = carries(CONTENDERS[name], lab, profile, 3.0)
            assert 0.1e6 < rate < profile.lines[0].down.rate_bits_per_second
