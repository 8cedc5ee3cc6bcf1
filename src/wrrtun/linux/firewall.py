"""Tables of nftables: put whole ones in place, or take them away, in one transaction.

Messages are laid out by pyroute2. Only our own tables are touched: of family inet (IPv4 and IPv6
alike), or of family bridge.
"""

import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any, Final

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg

from wrrtun.core.errors import ConfigError

from .firewall_rules import Chain

NFPROTO_INET: Final = 1
NFPROTO_BRIDGE: Final = 7
HOOKS: Final = {"forward": 2, "output": 3, "postrouting": 4}
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NLMSG_ERROR: Final = 2
ERROR: Final = struct.Struct("=IHHIIi")  # netlink header and the code behind it
ANSWER_SECONDS: Final = 2.0
READ_BYTES: Final = 1 << 16
NEW_TABLE, DELETE_TABLE = 0, 2  # NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE


class _Table(nfgen_msg):  # type: ignore[misc]
    prefix = "NFTA_TABLE_"
    nla_map = (("NFTA_TABLE_UNSPEC", "none"), ("NFTA_TABLE_NAME", "asciiz"))


def replace_table(name: str, chains: tuple[Chain, ...], family: int = NFPROTO_INET) -> None:
    """Put a table in place of the family's of that name; with no chains, only take that away."""
    table = [("NFTA_TABLE_NAME", name)]
    # Made first, so that there is one to delete.
    messages = [
        _message(_Table(), NEW_TABLE, table, NLM_F_CREATE),
        _message(_Table(), DELETE_TABLE, table),
    ]
    if chains:
        messages.append(_message(_Table(), NEW_TABLE, table, NLM_F_CREATE))
        messages += _contents(name, chains)
    for message in messages:
        message["nfgen_family"] = family
    _transact(messages)


def _contents(name: str, chains: tuple[Chain, ...]) -> list[Any]:
    # Not at the top: 3 MB that a daemon without routes or a bridge need not have.
    from pyroute2.netlink.nfnetlink.nftsocket import (  # noqa: PLC0415
        NFT_MSG_NEWCHAIN,
        NFT_MSG_NEWRULE,
        nft_chain_msg,
        nft_rule_msg,
    )

    messages = []
    for chain in chains:
        hook = [("NFTA_HOOK_HOOKNUM", HOOKS[chain.hook]), ("NFTA_HOOK_PRIORITY", chain.priority)]
        attributes: list[tuple[str, Any]] = [
            ("NFTA_CHAIN_TABLE", name),
            ("NFTA_CHAIN_NAME", chain.name),
            ("NFTA_CHAIN_HOOK", {"attrs": hook}),
            ("NFTA_CHAIN_TYPE", chain.kind),
        ]
        messages.append(_message(nft_chain_msg(), NFT_MSG_NEWCHAIN, attributes, NLM_F_CREATE))
    for chain in chains:
        for rule in chain.rules:
            expressions = [
                {"attrs": [("NFTA_EXPR_NAME", kind), ("NFTA_EXPR_DATA", {"attrs": data})]}
                for part in rule
                for kind, data in part.expressions()
            ]
            attributes = [
                ("NFTA_RULE_TABLE", name),
                ("NFTA_RULE_CHAIN", chain.name),
                ("NFTA_RULE_EXPRESSIONS", expressions),
            ]
            flags = NLM_F_CREATE | 0x800  # NLM_F_APPEND
            messages.append(_message(nft_rule_msg(), NFT_MSG_NEWRULE, attributes, flags))
    return messages


def _message(message: Any, kind: int, attributes: Any, flags: int = 0) -> Any:
    message["attrs"] = attributes
    message["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | flags
    return message


def _transact(messages: list[Any]) -> None:
    """Have the kernel do all of it or nothing; ConfigError when it does not."""
    ends = []
    for kind in (BATCH_BEGIN, BATCH_END):
        message = nfgen_msg()
        message["res_id"] = NFNL_SUBSYS_NFTABLES
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST
        ends.append(message)
    batch = b""
    for number, message in enumerate([ends[0], *messages, ends[1]]):
        message["header"]["sequence_number"] = number
        message.reset()
        message.encode()
        batch += bytes(message.data)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
            kernel.bind((0, 0))
            kernel.settimeout(ANSWER_SECONDS)
            kernel.send(batch)
            _await_acks(kernel, len(messages))
    except OSError as error:
        hint = ""
        if error.errno in (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT):
            hint = "; does this kernel have nftables (modules nf_tables, nft_masq, nft_chain_nat)?"
        raise ConfigError(f"cannot set nftables' rules: {error.strerror or error}{hint}") from error


def _await_acks(kernel: socket.socket, count: int) -> None:
    seen = 0
    while seen < count:
        data = kernel.recv(READ_BYTES)
        while len(data) >= ERROR.size:
            size, kind, _flags, _number, _port, code = ERROR.unpack_from(data)
            if kind == NLMSG_ERROR:
                if code:
                    raise OSError(-code, os.strerror(-code))
                seen += 1
            data = data[size + 3 & ~3 :]


def let_forward(version: int) -> None:
    """Have the kernel forward packets of one family; ConfigError when it may not."""
    if version == 4:
        _set("ipv4/ip_forward", "1")
        return
    # A router ignores router advertisements, which may be where its own address comes from: 2
    # makes it listen all the same.
    for setting in Path("/proc/sys/net/ipv6/conf").glob("*/accept_ra"):
        if setting.read_text().strip() == "1":
            _set(f"ipv6/conf/{setting.parent.name}/accept_ra", "2")
    _set("ipv6/conf/all/forwarding", "1")


def _set(name: str, value: str) -> None:
    path = Path("/proc/sys/net", name)
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        raise ConfigError(
            f"cannot set net.{name.replace('/', '.')} to {value}: {error.strerror}; "
            "set it with sysctl"
        ) from error
