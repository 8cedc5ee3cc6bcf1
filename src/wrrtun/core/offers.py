"""The client's links as it offers them: in INIT, and in LINKS while the session runs.

Both ends share one table, and the client alone writes it. Each change has a greater `serial`, so
that a table that comes late changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

from .errors import Drop, PeerError
from .wire import MAX_LINKS

THOUSAND: Final = 1000


class LinkRole(IntEnum):
    """When a link carries frames; the number is the one on the wire."""

    USUAL = 0
    METERED = 1  # only what the usual ones have no room for
    BACKUP = 2  # only when no other carries


@dataclass(frozen=True)
class LinkOffer:
    """One link of the client; down is towards the client. Weights from 0.001; rate 0: unknown.

    `part` is the share of its time, 0.0 to 1.0, in which a metered link may carry.
    """

    number: int
    weight_down: float
    weight_up: float
    rate_down_bits_per_second: int
    rate_up_bits_per_second: int
    role: LinkRole = LinkRole.USUAL
    part: float = 1.0


def alone(offers: Iterable[LinkOffer], number: int | None) -> tuple[LinkOffer, ...]:
    """Have one link carry and the others stand by; None: leave them."""
    roles = {True: LinkRole.USUAL, False: LinkRole.BACKUP}
    offers = tuple(offers)
    if all(offer.number != number for offer in offers):
        return offers
    return tuple(replace(offer, role=roles[offer.number == number]) for offer in offers)


@dataclass(frozen=True)
class LinkTable:
    """All links, and on how many of them each frame goes (1: no copies)."""

    serial: int
    copies: int
    links: tuple[LinkOffer, ...]

    def fields(self) -> dict[str, Any]:
        """Return what its layout takes."""
        return {
            "serial": self.serial,
            "copies": self.copies,
            "links": [
                vars(link)
                | {
                    "weight_down_thousandths": round(link.weight_down * THOUSAND),
                    "weight_up_thousandths": round(link.weight_up * THOUSAND),
                    "part_thousandths": round(link.part * THOUSAND),
                }
                for link in self.links
            ],
        }

    @staticmethod
    def read(
        serial: int, copies: int, links: Iterable[Mapping[str, Any]], refusal: Drop
    ) -> "LinkTable":
        """Make it of a layout's fields, or raise PeerError(refusal)."""
        offers = tuple(_read_offer(link, refusal) for link in links)
        numbers = {link.number for link in offers}
        if not 0 < len(numbers) == len(offers):
            raise PeerError(refusal, "no links, or one twice")
        if not 0 < copies <= MAX_LINKS:
            raise PeerError(refusal, f"{copies} copies")
        return LinkTable(serial, copies, offers)


def _read_offer(fields: Mapping[str, Any], refusal: Drop) -> LinkOffer:
    down, up = fields["weight_down_thousandths"], fields["weight_up_thousandths"]
    part = fields["part_thousandths"]
    if fields["number"] >= MAX_LINKS or not down or not up or part > THOUSAND:
        raise PeerError(refusal, f"link {fields['number']} is none, or has no weight")
    try:
        role = LinkRole(fields["role"])
    except ValueError as error:
        raise PeerError(refusal, f"role {fields['role']}") from error
    return LinkOffer(
        fields["number"],
        down / THOUSAND,
        up / THOUSAND,
        fields["rate_down_bits_per_second"],
        fields["rate_up_bits_per_second"],
        role,
        part / THOUSAND,
    )


def sending_weight(offer: LinkOffer, *, initiator: bool) -> tuple[float, float | None]:
    """Return the weight and rate (bits/s or None) of a link for what this end sends."""
    if initiator:
        return offer.weight_up, offer.rate_up_bits_per_second or None
    return offer.weight_down, offer.rate_down_bits_per_second or None
