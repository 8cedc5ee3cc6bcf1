"""Real TAP devices in throw-away namespaces."""

import os
import select
import socket
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from tests.conftest import Namespace
from tests.linux.conftest import index_of, set_up
from wrrtun.core.errors import ConfigError
from wrrtun.linux.tap import (
    VIRTIO_HEADER_BYTES,
    Offload,
    Tap,
    TapDownError,
    TapGoneError,
)

pytestmark = pytest.mark.root

VIRTIO = struct.Struct("<BBHHHH")  # flags, gso type, header bytes, gso size, checksum start, offset
ARP_LIKE = bytes(VIRTIO_HEADER_BYTES) + b"\xff" * 6 + bytes(6) + b"\x08\x06" + bytes(46)
NOBODY = 65534


def test_a_super_frame_out_of_one_tap_goes_into_another_and_tcp_reads_what_was_written(
    make_namespace: Callable[[], Namespace],
) -> None:
    sent = os.urandom(1 << 20)
    got = b""
    largest = 0
    buffer = bytearray(1 << 17)
    left, right = make_namespace(), make_namespace()
    with left, IPRoute() as ip:
        near = Tap("near")
        set_up(ip, "near", "10.3.0.1")
        caller = socket.socket()
    with right, IPRoute() as ip:
        far = Tap("far")
        set_up(ip, "far", "10.3.0.2")
        listener = socket.create_server(("10.3.0.2", 80))
    accepted: list[socket.socket] = []
    caller.setblocking(False)
    assert caller.connect_ex(("10.3.0.2", 80)) != 0

    give_up_at = time.monotonic() + 20
    unsent = memoryview(sent)
    while len(got) < len(sent) and time.monotonic() < give_up_at:
        ends: list[Tap | socket.socket] = [near, far, listener, *accepted]
        ready, writable, _ = select.select(ends, [caller] if unsent else [], [], 1)
        for end in ready:
            if end is listener:
                accepted.append(listener.accept()[0])
            elif isinstance(end, socket.socket):
                got += end.recv(1 << 20)
            else:
                [size] = end.read_each([buffer])
                largest = max(largest, size)
                assert (far if end is near else near).write(memoryview(buffer)[:size])
        if writable:
            unsent = unsent[caller.send(unsent) :]

    assert got == sent
    if Offload.TSO4 in near.offloads:
        assert largest > 10_000
    near.close()
    far.close()
    for closing in (listener, caller, *accepted):
        closing.close()


def test_a_frame_is_written_in_parts_and_read(namespace: Namespace) -> None:
    with Tap("parts") as tap, IPRoute() as ip:
        set_up(ip, "parts", "10.4.0.1")
        assert tap.write_parts([ARP_LIKE[:10], memoryview(ARP_LIKE)[10:24], ARP_LIKE[24:]])

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            speaker.sendto(b"anyone?", ("10.4.0.2", 9))
        while select.select([tap], [], [], 5)[0]:
            read = bytearray(1 << 16)
            [size] = tap.read_each([read])
            if read[22:24] == b"\x08\x06":
                break
        assert size == VIRTIO_HEADER_BYTES + 42  # an ARP request of the machine
        assert bytes(read[:VIRTIO_HEADER_BYTES]) == bytes(VIRTIO_HEADER_BYTES)


def test_a_tap_with_nothing_to_read_says_so(namespace: Namespace) -> None:
    with Tap("idle") as tap:
        assert tap.read_each([bytearray(1 << 16)]) == []
        assert not os.get_inheritable(tap.fileno())


def test_frames_are_read_each_into_its_room_until_nothing_is_there(namespace: Namespace) -> None:
    with Tap("many") as tap, IPRoute() as ip:
        set_up(ip, "many")
        rooms = [bytearray(100) for _ in range(8)]
        while tap.read_each(rooms):  # what the kernel says when an interface comes up
            pass
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as into:
            into.bind(("many", 0))
            for number in range(1, 6):
                into.send(ARP_LIKE[10:] + bytes([number]) * number)
        sizes = tap.read_each(rooms)
        got = [bytes(room[:size]) for size, room in zip(sizes, rooms, strict=False)]
        ours = [one[10:] for one in got if one[22:24] == b"\x08\x06"]
        assert ours == [ARP_LIKE[10:] + bytes([number]) * number for number in range(1, 6)]


def test_offloads_are_the_richest_set_that_the_kernel_grants(namespace: Namespace) -> None:
    with Tap("rich") as tap:
        assert tap.offloads in (
            Offload(0),
            Offload.CHECKSUM,
            Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6,
            Offload.CHECKSUM | Offload.TSO4 | Offload.TSO6 | Offload.TSO_ECN,
            Offload(0x6F),
        )


def test_a_header_that_contradicts_its_frame_is_refused_not_raised(namespace: Namespace) -> None:
    with Tap("strict") as tap, IPRoute() as ip:
        set_up(ip, "strict")
        assert not tap.write(VIRTIO.pack(0, 1, 54, 0, 0, 0) + ARP_LIKE[10:])  # TSO4 of size 0
        assert not tap.write(b"runt")
        assert not tap.write(b"")
        assert tap.write(ARP_LIKE)


# Invariant: whatever is written is accepted or refused; nothing is raised, the device lives.
@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=120) | st.binary(max_size=60).map(ARP_LIKE[:24].__add__)))
def test_arbitrary_bytes_are_accepted_or_refused(frames: list[bytes]) -> None:
    alone = Namespace()
    with alone, Tap("fuzzed") as tap, IPRoute() as ip:
        set_up(ip, "fuzzed")
        for frame in frames:
            tap.write(frame)
        assert tap.write(ARP_LIKE)
    alone.close()


def test_a_tap_set_down_says_so_on_write_and_works_again_when_it_is_up(
    namespace: Namespace,
) -> None:
    with Tap("updown") as tap, IPRoute() as ip:
        with pytest.raises(TapDownError, match="the device updown is set down"):
            tap.write(ARP_LIKE)
        assert tap.read_each([bytearray(1 << 16)]) == []
        set_up(ip, "updown")
        assert tap.write(ARP_LIKE)


def test_a_deleted_tap_is_gone_for_reader_and_writer(namespace: Namespace) -> None:
    with Tap("doomed") as tap, IPRoute() as ip:
        ip.link("del", index=index_of(ip, "doomed"))
        with pytest.raises(TapGoneError, match="the device doomed was deleted"):
            tap.read_each([bytearray(1 << 16)])
        with pytest.raises(TapGoneError):
            tap.write(ARP_LIKE)
        with pytest.raises(TapGoneError):
            tap.write_parts([ARP_LIKE])


def test_closing_removes_the_device_and_frees_its_name(namespace: Namespace) -> None:
    with IPRoute() as ip:
        for _time in range(2):
            with Tap("twice"):
                assert ip.link_lookup(ifname="twice")
            assert not ip.link_lookup(ifname="twice")


def test_what_keeps_a_tap_from_being_made_is_told_in_one_sentence(namespace: Namespace) -> None:
    with Tap("wrr0"), pytest.raises(ConfigError, match="wrr0 is in use, perhaps by another wrrtun"):
        Tap("wrr0")
    with pytest.raises(ConfigError, match="has 1 to 15 bytes, 'a-name-of-16-byt' has 16"):
        Tap("a-name-of-16-byt")
    with pytest.raises(ConfigError, match="has 1 to 15 bytes, '' has 0"):
        Tap("")
    for name in ("lo", "a/b", ".."):
        with pytest.raises(ConfigError, match="not possible, or belongs to a device that is no"):
            Tap(name)


def test_without_root_the_error_says_what_is_needed(namespace: Namespace) -> None:
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ConfigError, match="needs root or CAP_NET_ADMIN"):
            Tap("wrr0")
    finally:
        os.seteuid(0)
