"""Wires between namespaces: their ends, and what the kernel has to know of them."""

import dataclasses

from pyroute2.ethtool import Ethtool

from bench.lab.cable import Cables
from bench.lab.namespace import Namespace


@dataclasses.dataclass(frozen=True)
class End:
    """One end of a wire."""

    namespace: Namespace
    device: str
    address: str
    address6: str
    mac: str


def join(one: End, other: End, *, offloads: bool, cables: Cables | None = None) -> None:
    """Join two ends by a veth pair or a cable, up, addressed and knowing each other."""
    if cables is None:
        _pair(one, other.namespace, other.device, other.mac)
    else:
        for end in (one, other):
            name = cables.free_plug
            _pair(end, cables.namespace, name)
            cables.plug(name)
    for end, far in ((one, other), (other, one)):
        iproute, index = end.namespace.iproute, end.namespace.index(end.device)
        for address, bits in ((end.address, 24), (end.address6, 64)):
            iproute.addr("add", index=index, address=address, prefixlen=bits)
        iproute.link("set", index=index, state="up")
        for address in (far.address, far.address6):
            add_neighbour(end.namespace, index, address, far.mac)
        if not offloads:
            switch_offloads_off(end.namespace, end.device)


def _pair(end: End, namespace: Namespace, device: str, mac: str | None = None) -> None:
    """Make a veth pair of an end's device and one in another namespace."""
    peer = {"ifname": device, "net_ns_fd": namespace.name} | ({"address": mac} if mac else {})
    end.namespace.iproute.link("add", ifname=end.device, kind="veth", address=end.mac, peer=peer)


def add_neighbour(namespace: Namespace, index: int, address: str, mac: str) -> None:
    """Enter a neighbour for good."""
    namespace.iproute.neigh("replace", ifindex=index, dst=address, lladdr=mac, state="permanent")


def add_route(end: End, destination: str, gateway: str, **more: str | int) -> None:
    """Enter a route over an end's device."""
    index = end.namespace.index(end.device)
    end.namespace.iproute.route("add", dst=destination, gateway=gateway, oif=index, **more)


def switch_offloads_off(namespace: Namespace, device: str) -> None:
    """Make a device carry packets as a wire does: no larger than its MTU.

    Checksum offload stays: the kernel refuses UDP_SEGMENT on a device without it.
    """
    switch_off(namespace, device, "segmentation", "rx-gro", "rx-lro")


def switch_off(namespace: Namespace, device: str, *parts: str) -> None:
    """Switch off the features of a device that have one of these in their names."""
    with namespace.entered():
        ethtool = Ethtool()
    try:
        features = ethtool.get_features(device)
        for name, feature in features.features.items():
            if any(part in name for part in parts):
                feature.enable = False
        ethtool.set_features(device, features)
    finally:
        ethtool.close()
