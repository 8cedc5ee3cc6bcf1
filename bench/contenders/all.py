"""Every contender, by name, in the order of tables."""

from typing import Final

from bench.contenders import Contender, bond, elsewhere, registry, wrrtun
from bench.contenders.bare import Bare
from bench.contenders.mptcp import MultipathTcp
from bench.contenders.openvpn import OneOpenVpn
from bench.contenders.wireguard import WireGuardGo

BARE: Final = tuple(Bare(number) for number in range(1, 9))
CONTENDERS: Final[dict[str, Contender]] = registry(
    (*BARE, OneOpenVpn(), WireGuardGo(), *bond.ALL, MultipathTcp(), *elsewhere.ALL, *wrrtun.ALL)
)
