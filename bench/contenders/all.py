"""Every contender, by name, in the order of tables."""

from typing import Final

from bench.contenders import Contender, registry, wrrtun
from bench.contenders.bare import Bare

BARE: Final = tuple(Bare(number) for number in range(1, 9))
CONTENDERS: Final[dict[str, Contender]] = registry((*BARE, *wrrtun.ALL))
