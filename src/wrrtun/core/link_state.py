"""The states of a link, and what moves it from one to the other.

The state is about *sending*: a link that hears, but whose datagrams do not arrive, is STALLED.

    PROBING   asked, not yet answered
    UP        delivers
    LOSSY     delivers, but loses more than a little
    STALLED   hears, but does not deliver
    DOWN      neither, or its socket fails
"""

from enum import Enum, StrEnum, auto
from typing import Final


class LinkState(StrEnum):
    """The value is the word in `wrrtun status`."""

    PROBING = "probing"
    UP = "up"
    LOSSY = "lossy"
    STALLED = "stalled"
    DOWN = "down"


CARRYING: Final = (LinkState.UP, LinkState.LOSSY)
HEARING: Final = (*CARRYING, LinkState.STALLED)


class Signal(Enum):
    """What can happen to a link."""

    ANSWERED = auto()
    ANSWERED_IN_ROW = auto()  # as often as it takes to be trusted again
    LOSS_ROSE = auto()
    LOSS_FELL = auto()
    UNDELIVERED = auto()  # what is sent, or is long, does not arrive, but the link is heard
    SILENT = auto()  # what is sent is not answered, and nothing is heard
    SOCKET_FAILED = auto()


# Every move a link can make. A pair that is not listed leaves the state as it is.
MOVES: Final[dict[tuple[LinkState, Signal], LinkState]] = {
    (LinkState.PROBING, Signal.ANSWERED): LinkState.UP,
    (LinkState.PROBING, Signal.UNDELIVERED): LinkState.STALLED,
    (LinkState.PROBING, Signal.SILENT): LinkState.DOWN,
    (LinkState.UP, Signal.LOSS_ROSE): LinkState.LOSSY,
    (LinkState.UP, Signal.UNDELIVERED): LinkState.STALLED,
    (LinkState.UP, Signal.SILENT): LinkState.DOWN,
    (LinkState.LOSSY, Signal.LOSS_FELL): LinkState.UP,
    (LinkState.LOSSY, Signal.UNDELIVERED): LinkState.STALLED,
    (LinkState.LOSSY, Signal.SILENT): LinkState.DOWN,
    (LinkState.STALLED, Signal.ANSWERED_IN_ROW): LinkState.UP,
    (LinkState.STALLED, Signal.SILENT): LinkState.DOWN,
    (LinkState.DOWN, Signal.ANSWERED_IN_ROW): LinkState.UP,
} | {(state, Signal.SOCKET_FAILED): LinkState.DOWN for state in LinkState}
