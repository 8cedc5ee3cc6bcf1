"""When a link's socket is replaced, and when the server's name is looked up again."""

import asyncio
from ipaddress import ip_address

from wrrtun.config import LinkConfig
from wrrtun.link_socket import LinkSocket
from wrrtun.server_name import ServerName


def link_from(host: str) -> LinkConfig:
    return LinkConfig(host, None, ip_address(host), 1.0, 1.0, None, None)


LOOPBACK = link_from("127.0.0.1")


def test_a_link_that_stays_down_gets_a_fresh_port_after_3_seconds_then_ever_more_rarely() -> None:
    link = LinkSocket(0, LOOPBACK, [ip_address("127.0.0.1")])
    assert link.open(9)
    replaced = [tick for tick in range(140) if link.wears_out(tick >= 10, tick / 2)]
    assert [tick / 2 for tick in replaced] == [8.0, 14.0, 26.0, 41.0, 56.0]
    assert not link.wears_out(False, 121.0)
    assert not link.wears_out(True, 122.0)
    assert link.wears_out(True, 125.0)
    link.close()


def test_a_link_that_never_was_up_gets_a_fresh_port_after_a_second() -> None:
    link = LinkSocket(0, LOOPBACK, [ip_address("127.0.0.1")])
    assert link.open(9)
    replaced = [tick for tick in range(20) if link.wears_out(True, tick / 2)]
    assert [tick / 2 for tick in replaced] == [1.0, 3.0, 7.0]
    link.close()


def test_a_worn_out_socket_is_followed_by_one_to_the_servers_next_address() -> None:
    servers = [ip_address(f"127.0.0.{host}") for host in (1, 2, 3)]
    link = LinkSocket(0, LOOPBACK, [ip_address("::1"), *servers])
    seen = []
    for second in range(0, 300, 100):
        for _reopened in range(2):
            assert link.open(9)
            assert link.socket is not None
            seen.append(link.socket.remote_text)
            link.close()
        assert link.open(9)
        link.wears_out(True, second)
        assert link.wears_out(True, second + 99)
        link.close()
    assert seen == [f"127.0.0.{host}:9" for host in (1, 1, 2, 2, 3, 3)]


def test_a_link_without_its_address_is_missing_until_it_is_there() -> None:
    where = link_from("192.0.2.7")
    link = LinkSocket(0, where, [ip_address("127.0.0.1")])
    assert not link.open(9)
    assert link.missing
    assert "192.0.2.7 is not on this machine" in link.failure
    link.config = LOOPBACK
    assert link.open(9)
    assert not link.missing
    link.close()


def test_a_server_out_of_reach_is_looked_up_again_beside_the_loop() -> None:
    async def scenario() -> tuple[list[str], int]:
        name = ServerName(asyncio.get_running_loop(), "127.0.0.9", 9)
        name.addresses[:] = [ip_address("192.0.2.1")]  # what it was
        addresses, changes = name.addresses, asyncio.Event()
        name.look(False, 100.0, changes.set)
        name.look(False, 104.9, changes.set)
        name.look(True, 105.0, changes.set)
        name.look(False, 106.0, changes.set)
        await asyncio.sleep(0.05)
        assert not changes.is_set()
        name.look(False, 111.0, changes.set)
        async with asyncio.timeout(5.0):
            await changes.wait()
        return [str(address) for address in addresses], len(addresses)

    assert asyncio.run(scenario()) == (["127.0.0.9"], 1)
