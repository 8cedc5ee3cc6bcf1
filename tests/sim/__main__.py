"""Find rates in the simulator: python -m tests.sim [SCENARIO...] [--seeds N].

Prints, for each scenario, the share of what the lines carry alone (from cold, and after 5 s), the
ping meanwhile, and the rates that were found.
"""

import argparse
from statistics import fmean

from tests.sim.scenarios import SCENARIOS, measure


def main() -> None:
    """Run scenarios and print a table."""
    known = ", ".join(SCENARIOS).replace("%", "%%")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of {known}; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'scenario':22} {'whole':>6} {'later':>6} {'ping':>6} {'99 %':>6}  found, Mbit/s")
    for name in arguments.scenario or SCENARIOS:
        results = [measure(SCENARIOS[name](), seed) for seed in range(1, arguments.seeds + 1)]
        bond = results[0].world.tunnel("server").bond
        found = " ".join(f"{member.finder.rate * 8 / 1e6:.2f}" for member in bond)
        shares = [
            fmean(result.whole for result in results),
            fmean(result.later for result in results),
        ]
        pings = [
            fmean(result.ping for result in results),
            fmean(result.ping_99 for result in results),
        ]
        print(f"{name:22} {_row(shares, 100, '%')} {_row(pings, 1e3, 'ms')}  {found}", flush=True)


def _row(values: list[float], factor: float, unit: str) -> str:
    return " ".join(f"{value * factor:5.1f}{unit}" for value in values)


if __name__ == "__main__":
    main()
