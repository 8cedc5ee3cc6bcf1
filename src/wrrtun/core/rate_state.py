"""What a link's rate finder is at.

START    search: faster with every report, until the line's queue grows
CRUISE   just below what was found
PULSE    for a moment faster: does the line carry more?
WAIT     as CRUISE, until the other end has reported on the pulse
DRAIN    slower, until the line's queue is empty again
"""

from enum import StrEnum


class RateState(StrEnum):
    """The value is the word in `wrrtun status`."""

    START = "searching"
    CRUISE = "steady"
    PULSE = "asking"
    WAIT = "asked"
    DRAIN = "draining"
