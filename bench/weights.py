"""One TCP stream at full speed over two unshaped lines of weights 10 and 3: shares and memory.

Prints the bulk bytes that each line carried against its weight, and what the daemons' memory did
on the way. Needs root.
"""

import argparse
import sys
import time
from typing import Final

from bench.lab.topology import unshaped
from bench.processes import ProcessError
from bench.traffic import Load, TrafficError, start_load
from bench.tunnel import SERVER_INSIDE, tunnel

WEIGHTS: Final = (10, 3)
SAMPLES: Final = 6


def measure(seconds: float) -> None:
    """Run and print."""
    with (
        unshaped(len(WEIGHTS)) as lab,
        tunnel(
            lab,
            [f"{line.device}:{weight}" for line, weight in zip(lab.lines, WEIGHTS, strict=True)],
        ) as ends,
    ):
        load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(seconds))
        memory = []
        for _sample in range(SAMPLES):
            time.sleep(seconds / SAMPLES)
            memory.append([end.resident_bytes() / 1e6 for end in (ends.client, ends.server)])
        rate = load.result().bits_per_second
        (peer,) = ends.server.status().peers
        print(f"{rate / 1e9:.2f} Gbit/s for {seconds:g} s")
        for link, weight in zip(peer.links, WEIGHTS, strict=True):
            due = weight / sum(WEIGHTS)
            share = link.share or 0.0
            print(
                f"line {link.number}: weight {weight}, share {share:.4%} of the bulk bytes, "
                f"{share / due - 1:+.3%} from its due"
            )
        print("resident MB, client and server, evenly over the run:")
        print("  " + ", ".join(f"{client:.0f} {server:.0f}" for client, server in memory))


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.weights", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="(default: 60)")
    try:
        measure(parser.parse_args().seconds)
    except (ProcessError, TrafficError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
