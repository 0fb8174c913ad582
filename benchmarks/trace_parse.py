"""CPU time and memory of reading a trace and of its tables: one fresh process a run, the ways taken in turn.

usage: python benchmarks/trace_parse.py FILE... [--runs N]

With the scanner, and by Python alone (GPUPROBE_SCANNER=off); user and system time of the process, least and median.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from statistics import median

WAYS = {"scanner": {}, "python": {"GPUPROBE_SCANNER": "off"}}
RUN = """
import json, os, resource, sys
from pathlib import Path
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.breakdown import breakdown
from gpuprobe.trace.exact import exact
from gpuprobe.trace.kernels import kernel_table
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.read import read_trace

def spent():
    return sum(os.times()[:2])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

trace = read_trace(Path(sys.argv[1]))
read = spent()
launches = join_launches(trace)
exact(trace, launches), breakdown(trace, launches), kernel_table(trace)
found = {"read": read, "tables": spent(), "tables_mb": peak()}
begin = spent()
analyze(trace)
print(json.dumps({**found, "all": found["read"] + spent() - begin, "all_mb": peak()}))
"""


def main() -> None:
    """Print a row for each file and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for file in options.files:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.runs):
            for way, environment in WAYS.items():
                command = [sys.executable, "-c", RUN, file]
                done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
                found[way].append(json.loads(done.stdout))
        for way, rows in found.items():
            times = {key: [row[key] for row in rows] for key in ("read", "tables", "all")}
            spent = ", ".join(f"{key} {min(values):.2f} ({median(values):.2f}) s" for key, values in times.items())
            most = max(row["tables_mb"] for row in rows), max(row["all_mb"] for row in rows)
            print(f"{file} {way}: {spent}; {most[0]:.0f} MB, with all analyses {most[1]:.0f} MB")


if __name__ == "__main__":
    main()
