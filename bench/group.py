"""Measure the rows of one profile in one lab: what run.py starts, here or in user-mode Linux.

Takes a `Group` as JSON; writes JSON lines to stdout: a `Step` when something begins, a `Proof`, and
a `Result` for each row.
"""

import signal
import sys
from typing import Final

import msgspec

from bench.contenders.all import CONTENDERS
from bench.lab.anywhere import ensure_netem
from bench.lab.topology import shaped, unshaped
from bench.measure import SETUP_SECONDS, measure
from bench.profiles import PROFILES
from bench.proof import prove
from bench.results import Proof, Result, Row
from bench.workloads.all import WORKLOADS

PROOF_SECONDS: Final = 8.0  # for each line


class Step(msgspec.Struct, frozen=True, tag="step"):
    """What begins now."""

    what: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one profile, in the order of measurement."""

    profile: str
    rows: tuple[Row, ...]
    seed: int
    prove: bool

    def limit_seconds(self) -> float:
        """How long measuring all of it may take."""
        proof = PROOF_SECONDS * len(PROFILES[self.profile].lines)
        return proof + sum(row.seconds + SETUP_SECONDS for row in self.rows)


Said = Step | Proof | Result


def said(line: bytes) -> Said:
    """Read a line that `python -m bench.group` wrote."""
    what: Said = msgspec.json.decode(line, type=Said)
    return what


def _say(what: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


def main(group: Group) -> None:
    """Measure row after row."""
    profile = PROFILES[group.profile]
    _say(Step(f"{profile.name}: {len(profile.lines)} lines"))
    with unshaped(len(profile.lines)) if profile.unshaped else shaped(profile) as lab:
        proof = None
        if group.prove and not profile.unshaped:
            _say(Step(f"{profile.name}: do the lines carry what they should?"))
            proof = prove(lab, profile)
            _say(proof)
        for row in group.rows:
            _say(Step(f"{row.profile}, {row.contender}, {row.traffic}, run {row.run}"))
            contender, workload = CONTENDERS[row.contender], WORKLOADS[row.traffic]
            result = measure(lab, profile, contender, workload, row, group.seed)
            if proof is not None and proof.void is not None:
                result = msgspec.structs.replace(result, void=proof.void)
            _say(result)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(143))
    job = msgspec.json.decode(sys.argv[1], type=Group)
    if not PROFILES[job.profile].unshaped:
        ensure_netem(job.limit_seconds(), ends_here=PROFILES[job.profile].fast)
    try:
        main(job)
    except KeyboardInterrupt:
        sys.exit(130)
