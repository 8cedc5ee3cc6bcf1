"""Pages as a browser gets them: 50 objects of 20 to 200 KB over 6 connections, page after page."""

from dataclasses import dataclass
from typing import Final

from bench.contenders import Way
from bench.programs import command, device_option
from bench.traffic import Program, listening, next_port, percentile
from bench.workloads import Outcome

GRACE_SECONDS: Final = 15.0  # a page that has begun may go on so long after the end


@dataclass(frozen=True)
class Page:
    """New connections for every page; the seed decides the objects' sizes."""

    name: str = "page"
    about: str = "pages of 50 objects over 6 connections"
    direction: None = None
    pinged: bool = True
    objects: int = 50
    connections: int = 6
    smallest_bytes: int = 20_000
    largest_bytes: int = 200_000

    def available(self) -> str | None:
        return None

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        port = next_port()
        where = (way.address, str(port))
        options = {
            "objects": self.objects,
            "connections": self.connections,
            "smallest": self.smallest_bytes,
            "largest": self.largest_bytes,
            "seed": seed,
            "seconds": seconds,
            "grace": GRACE_SECONDS,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        browse = command("page_client", *where, *words, *device_option(way.device))
        serve = [*way.wrap, *command("web_server", *where)]
        with (
            listening(way.server, serve, port),
            Program(way.client, [*way.wrap, *browse]) as client,
        ):
            said = client.document(seconds + GRACE_SECONDS)
        pages = [each for each in said["pages"] if each is not None]
        figures = {
            "pages": float(len(pages)),
            "pages_given_up": float(len(said["pages"]) - len(pages)),
        }
        if pages:
            figures["page_seconds"] = percentile(pages, 0.5)
            figures["slowest_page_seconds"] = max(pages)
            figures["object_seconds"] = percentile(said["objects"], 0.5)
            figures["object_p95_seconds"] = percentile(said["objects"], 0.95)
        return Outcome(figures=figures)
