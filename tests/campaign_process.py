"""Runs a synthetic campaign in a process of its own, for the test that kills it: argument = the probe to hang in."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict

from recording import Watching, chain_model, chain_probe, gpu_of, kernels_of, unkept

from gpuprobe import campaign
from gpuprobe.gpu.protocol import Job, Outcome


def main(hang: str) -> None:
    """Measure four probes; print ``hanging`` and sleep inside the one named."""
    gpu = gpu_of(chain_model(4.0, 0.001, 7))
    answer, runs = gpu.run, Counter[str]()

    def run(job: Job) -> Outcome:
        runs[job.probe] += 1
        if job.probe == hang and runs[hang] == 15:
            sys.stdout.write("hanging\n")
            sys.stdout.flush()
            time.sleep(60)
        return answer(job)

    gpu.run = run  # type: ignore[method-assign]
    probes = [chain_probe(name) for name in ("one", "two", "three", "four")]
    watching = Watching()
    done = campaign.run_live(gpu, probes, kernels_of(probes, "quick"), "quick", watching, keep=unkept)
    shown = {
        "measured": watching.measured,
        "resumed": watching.resumed,
        "run_id": done.run_id,
        "warnings": done.warnings,
    }
    sys.stdout.write(json.dumps({**shown, "measurements": [asdict(m) for m in done.measurements]}))


if __name__ == "__main__":
    main(sys.argv[1])
