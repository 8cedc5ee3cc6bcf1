"""Is there a netem in this kernel, and what is it told for one direction of a line."""

import os
from typing import Any, Final

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_NEWQDISC, TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import tcmsg
from pyroute2.netlink.rtnl.tcmsg.sched_netem import get_parameters

from bench.lab.namespace import Namespace
from bench.profiles import Direction

PACKET_BYTES: Final = 1500
ETHERNET_BYTES: Final = 14
HANDLE: Final = 0x10000  # 1:0
MIXER: Final = 0x100000  # 10:0


def available() -> bool:
    """Tell whether we may make a namespace here and put netem on a device in it."""
    if os.geteuid() != 0:
        return False
    try:
        with Namespace.create("probe") as namespace:
            namespace.iproute.tc("add", "netem", 1, HANDLE, delay=1000)
    except (NetlinkError, OSError):  # no netem; or no right to make a namespace, as in containers
        return False
    return True


def shape(iproute: IPRoute, device_index: int, direction: Direction) -> None:
    """Make a device send as `direction` says; replaces what it was told before.

    What a line that reorders does to the order comes after its queue, in a netem without a rate: a
    netem with a rate keeps the order. Packets already queued leave as they would have before.
    """
    _tell(iproute, device_index, TC_H_ROOT, HANDLE, _settings(direction))
    if direction.reorder_seconds:
        mixing = {
            "delay": round(direction.reorder_seconds * 1e6),
            "jitter": round(direction.reorder_seconds * 1e6),
            "limit": 1000,
        }
        _tell(iproute, device_index, HANDLE | 1, MIXER, mixing)


def _tell(
    iproute: IPRoute, device_index: int, parent: int, handle: int, settings: dict[str, Any]
) -> None:
    # Not iproute.tc(): pyroute2 0.9.7 also puts netem's `rate` into the message as TCA_RATE, a
    # different thing, and fails.
    message = tcmsg()
    message["index"] = device_index
    message["parent"] = parent
    message["handle"] = handle
    message["attrs"] = [("TCA_KIND", "netem"), ("TCA_OPTIONS", get_parameters(settings))]
    message["header"]["type"] = RTM_NEWQDISC
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    iproute.nlm_request_batch([message])


def _settings(direction: Direction) -> dict[str, Any]:
    """The settings in pyroute2's units: bytes per second, microseconds, percent.

    `limit` is in packets, and counts those in the delay line too.
    """
    bytes_per_second = direction.rate_bits_per_second / 8
    held_seconds = direction.delay_seconds + direction.jitter_seconds + direction.buffer_seconds
    return {
        "rate": round(bytes_per_second),
        "packet_overhead": -ETHERNET_BYTES,
        "delay": round((direction.delay_seconds - direction.reorder_seconds) * 1e6),
        "jitter": round(direction.jitter_seconds * 1e6),
        "loss": direction.loss * 100,
        "limit": max(round(bytes_per_second * held_seconds / PACKET_BYTES), 10),
    }
