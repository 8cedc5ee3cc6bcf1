"""What a rule of nftables is made of: parts that match, and what then happens.

Each part knows the kernel's expressions for it (linux/netfilter/nf_tables.h).
"""

import socket
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

Network = IPv4Network | IPv6Network
Expression = tuple[str, list[tuple[str, Any]]]

DROP, ACCEPT, RETURN = 0, 1, -5
REGISTER: Final = 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
TCP_OPTION: Final = 1  # NFT_EXTHDR_OP_TCPOPT
MAXSEG: Final = 2
TCPMSS: Final = 3  # NFT_RT_TCPMSS
HTON: Final = 1
SYN, RST = 2, 4
ETHER_TYPES: Final = {4: 0x0800, 6: 0x86DD}
EQUAL: Final = 0  # NFT_CMP_EQ


class Meta(IntEnum):
    """What a rule can look at beside the packet (nft_meta_keys)."""

    PROTOCOL = 1
    MARK = 3
    IN_NAME = 6
    OUT_NAME = 7
    FAMILY = 15
    L4_PROTOCOL = 16


def _data(value: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _meta(key: Meta) -> Expression:
    return "meta", [("NFTA_META_KEY", key), ("NFTA_META_DREG", REGISTER)]


def _compare(value: bytes) -> Expression:
    return "cmp", [
        ("NFTA_CMP_SREG", REGISTER),
        ("NFTA_CMP_OP", EQUAL),
        ("NFTA_CMP_DATA", _data(value)),
    ]


def _load(base: int, offset: int, size: int) -> Expression:
    return "payload", [
        ("NFTA_PAYLOAD_DREG", REGISTER),
        ("NFTA_PAYLOAD_BASE", base),
        ("NFTA_PAYLOAD_OFFSET", offset),
        ("NFTA_PAYLOAD_LEN", size),
    ]


def _and(mask: bytes) -> Expression:
    return "bitwise", [
        ("NFTA_BITWISE_SREG", REGISTER),
        ("NFTA_BITWISE_DREG", REGISTER),
        ("NFTA_BITWISE_LEN", len(mask)),
        ("NFTA_BITWISE_MASK", _data(mask)),
        ("NFTA_BITWISE_XOR", _data(bytes(len(mask)))),
    ]


def _device(key: Meta, name: str) -> list[Expression]:
    return [_meta(key), _compare(name.encode().ljust(16, b"\0"))]


def _address(network: Network, offsets: dict[int, int]) -> list[Expression]:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    found = [_meta(Meta.FAMILY), _compare(bytes([family]))]
    if network.prefixlen == 0:
        return found
    size = network.max_prefixlen // 8
    found.append(_load(NETWORK_HEADER, offsets[network.version], size))
    if network.prefixlen < network.max_prefixlen:
        found.append(_and(network.netmask.packed))
    return [*found, _compare(network.network_address.packed)]


_OF_SYNS: Final = [
    _meta(Meta.L4_PROTOCOL),
    _compare(bytes([socket.IPPROTO_TCP])),
    _load(TRANSPORT_HEADER, 13, 1),
    _and(bytes([SYN | RST])),
    _compare(bytes([SYN])),
]
_SET_SEGMENT_SIZE: Final[Expression] = (
    "exthdr",
    [
        ("NFTA_EXTHDR_SREG", REGISTER),
        ("NFTA_EXTHDR_TYPE", MAXSEG),
        ("NFTA_EXTHDR_OFFSET", 2),
        ("NFTA_EXTHDR_LEN", 2),
        ("NFTA_EXTHDR_OP", TCP_OPTION),
    ],
)


@dataclass(frozen=True, slots=True)
class OutDevice:
    """The packet leaves through this device."""

    name: str

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return _device(Meta.OUT_NAME, self.name)


@dataclass(frozen=True, slots=True)
class InDevice:
    """The packet came in through this device."""

    name: str

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return _device(Meta.IN_NAME, self.name)


@dataclass(frozen=True, slots=True)
class Mark:
    """The packet has this mark."""

    value: int

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return [_meta(Meta.MARK), _compare(self.value.to_bytes(4, "little"))]


@dataclass(frozen=True, slots=True)
class From:
    """The packet's source is in this network."""

    network: Network

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return _address(self.network, {4: 12, 6: 8})


@dataclass(frozen=True, slots=True)
class To:
    """The packet's destination is in this network."""

    network: Network

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return _address(self.network, {4: 16, 6: 24})


@dataclass(frozen=True, slots=True)
class Port:
    """The packet goes to this port, of TCP (6) or UDP (17)."""

    protocol: int
    number: int

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return [
            _meta(Meta.L4_PROTOCOL),
            _compare(bytes([self.protocol])),
            _load(TRANSPORT_HEADER, 2, 2),
            _compare(self.number.to_bytes(2)),
        ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the packet: DROP, ACCEPT or RETURN."""

    code: int

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        verdict = {"attrs": [("NFTA_VERDICT_CODE", self.code)]}
        data = {"attrs": [("NFTA_DATA_VERDICT", verdict)]}
        return [("immediate", [("NFTA_IMMEDIATE_DREG", 0), ("NFTA_IMMEDIATE_DATA", data)])]


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The packet gets the address of the device that it leaves through."""

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return [("masq", [])]


@dataclass(frozen=True, slots=True)
class LimitSegments:
    """For a bridge: the maximum segment size of one IP version's TCP SYNs is so many bytes at most.

    The kernel never raises what is in the packet.
    """

    version: int
    segment_bytes: int

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return [
            _meta(Meta.PROTOCOL),
            _compare(ETHER_TYPES[self.version].to_bytes(2)),
            *_OF_SYNS,
            (
                "immediate",
                [
                    ("NFTA_IMMEDIATE_DREG", REGISTER),
                    ("NFTA_IMMEDIATE_DATA", _data(self.segment_bytes.to_bytes(2))),
                ],
            ),
            _SET_SEGMENT_SIZE,
        ]


@dataclass(frozen=True, slots=True)
class ClampSegments:
    """A TCP SYN's maximum segment size becomes what fits the routes of both directions."""

    def expressions(self) -> list[Expression]:
        """Return nftables' expressions."""
        return [
            *_OF_SYNS,
            ("rt", [("NFTA_RT_DREG", REGISTER), ("NFTA_RT_KEY", TCPMSS)]),
            (
                "byteorder",
                [
                    ("NFTA_BYTEORDER_SREG", REGISTER),
                    ("NFTA_BYTEORDER_DREG", REGISTER),
                    ("NFTA_BYTEORDER_OP", HTON),
                    ("NFTA_BYTEORDER_LEN", 2),
                    ("NFTA_BYTEORDER_SIZE", 2),
                ],
            ),
            _SET_SEGMENT_SIZE,
        ]


Part = (
    OutDevice
    | InDevice
    | Mark
    | From
    | To
    | Port
    | Verdict
    | Masquerade
    | ClampSegments
    | LimitSegments
)
FirewallRule = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules at one hook of the kernel, asked in order. `kind` is filter or nat."""

    name: str
    kind: str
    hook: str
    priority: int
    rules: tuple[FirewallRule, ...]
