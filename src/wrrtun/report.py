"""Fill the status snapshot from a tunnel. Reads only."""

from collections.abc import Mapping
from typing import NamedTuple

from .core.errors import Drop
from .core.member import Member
from .core.tunnel import Tunnel
from .device import Device
from .linux.tap import Offload
from .status import (
    DeviceStatus,
    LinkStatus,
    PeerStatus,
    QueueStatus,
    ReorderStatus,
    SessionStatus,
)


class LinkAddresses(NamedTuple):
    """What only the shell knows of a link."""

    name: str | None
    local: str | None
    remote: str | None
    failure: str


def peer_status(
    tunnel: Tunnel,
    device: Device | None,
    addresses: Mapping[int, LinkAddresses],
    now: float,
) -> PeerStatus:
    """Describe one tunnel."""
    drops = tunnel.counters.drops()
    if device is not None and device.lost_frames:
        drops[Drop.TAP_FULL] = device.lost_frames
    return PeerStatus(
        name=tunnel.peer,
        device=_device(tunnel, device),
        session=_session(tunnel, now),
        links=[_link(tunnel, member, addresses.get(member.number)) for member in tunnel.bond],
        reorder=_reorder(tunnel),
        queue=_queue(tunnel, now),
        drops=drops,
    )


def _device(tunnel: Tunnel, device: Device | None) -> DeviceStatus:
    offloads = device.tap.offloads if device else Offload(0)
    return DeviceStatus(
        name=device.tap.name if device else "",
        mtu=device.mtu if device else tunnel.settings.mtu,
        offloads=[one.name.lower() for one in offloads if one.name],
        sent_frames=tunnel.outbound.bulk_frames + tunnel.outbound.express.frames,
        sent_bytes=device.sent_bytes if device else 0,
        received_frames=tunnel.inbound.delivered_frames,
        received_bytes=tunnel.inbound.delivered_bytes,
    )


def _session(tunnel: Tunnel, now: float) -> SessionStatus:
    session = tunnel.sessions.current
    return SessionStatus(
        up=session is not None,
        local_id=session.keys.local_session if session else None,
        remote_id=session.keys.remote_session if session else None,
        age_seconds=now - session.born if session else None,
        rekeys=tunnel.rekeys,
        cipher=session.keys.suite.name.lower().replace("_", "-") if session else None,
    )


def _link(tunnel: Tunnel, member: Member, addresses: LinkAddresses | None) -> LinkStatus:
    link = member.link
    delays = [one.link.owd_in for one in tunnel.bond if one.link.owd_in is not None]
    skew = link.owd_in - min(delays) if link.owd_in is not None else None
    total = sum(one.sent_bulk_bytes for one in tunnel.bond)
    return LinkStatus(
        number=member.number,
        name=addresses.name if addresses else None,
        state=link.state.value,
        role=member.role.name.lower(),
        part=member.part,
        reason=(addresses.failure if addresses else "") or member.unfit or link.reason,
        local_address=addresses.local if addresses else None,
        remote_address=addresses.remote if addresses else None,
        weight=tunnel.outbound.weights[member.number],
        rate_bits_per_second=member.rate_bits_per_second,
        rate_state=member.finder.state.value,
        mtu_bytes=link.path_mtu.size_bytes + member.header_bytes if link.path_mtu.known else None,
        rate_in_bits_per_second=member.rate_in_bits_per_second,
        rtt_seconds=link.srtt,
        rtt_variation_seconds=link.rttvar,
        skew_seconds=skew,
        loss_in=link.loss_in,
        loss_out=link.loss_out,
        sent_bytes=link.outgoing.bytes,
        received_bytes=link.incoming.bytes,
        sent_datagrams=link.outgoing.datagrams,
        received_datagrams=link.incoming.datagrams,
        share=member.sent_bulk_bytes / total if total else None,
    )


def _reorder(tunnel: Tunnel) -> ReorderStatus:
    reorder, repairs = tunnel.inbound.reorder, tunnel.outbound.repairs
    return ReorderStatus(
        held_frames=reorder.held_datagrams,
        held_bytes=reorder.held_bytes,
        hold_seconds=reorder.hold_seconds,
        released=reorder.counts.released,
        late=reorder.counts.late,
        spare_copies=tunnel.inbound.spare_copies,
        gaps_given_up_by_inference=reorder.counts.lost_by_inference,
        gaps_given_up_by_deadline=reorder.counts.lost_by_deadline,
        repaired=reorder.counts.repaired,
        nacks_sent=tunnel.upkeep.nacks,
        nacks_received=repairs.nacks,
        repairs_sent=repairs.sent_datagrams,
        repairs_refused=repairs.refused_datagrams,
    )


def _queue(tunnel: Tunnel, now: float) -> QueueStatus:
    outbound = tunnel.outbound
    drops = tunnel.counters.drops()
    return QueueStatus(
        bytes=outbound.queue.size_bytes,
        delay_seconds=outbound.queue.sojourn_seconds(now),
        bulk_frames=outbound.bulk_frames,
        express_frames=outbound.express.frames,
        dropped=drops.get("queue_full", 0) + drops.get("queue_delay", 0),
        superseded_acks=outbound.intake.superseded,
    )
