#!/usr/bin/env python3
"""Compares Longhand with PyTorch, ONNX Runtime, OpenVINO and the package bsbr.

All run alternately, round by round, on the same token ids; what counts are the
ratios within a round. Prints a table, writes a JSON report and the table in
Markdown beside it. Exits with 1 if vectors that should agree do not, or if a
program failed. README.md explains the rows; bench/peers/run finds everything
that has to be given here.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile

from driver import bench, documents, long, report, start
from driver.processes import WorkerError

MEASURES = {"documents": documents.measure, "dense": long.measure_dense,
            "bsbr": long.measure_bsbr, "flat": long.measure_flat,
            "start": start.measure}
PRECISIONS = ("fp32", "bf16", "int8")
WORKLOADS = pathlib.Path(__file__).resolve().parent / "workloads.json"


def subset(known):
    """A parser of comma-separated names, in the order of `known`."""
    def parse(text):
        wanted = text.split(",")
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in wanted]
    return parse


def parse_arguments(plans):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    cpus = os.sched_getaffinity(0)
    path = pathlib.Path
    parser.add_argument("--workloads", type=subset(tuple(plans)),
                        default=[name for name in plans if name != "start"],
                        help=f"of {','.join(plans)} (all but start)")
    parser.add_argument("--rounds", type=int, default=7,
                        help="rounds, fewer for long documents (7)")
    parser.add_argument("--precisions", type=subset(PRECISIONS),
                        default=list(PRECISIONS),
                        help="of documents that fit a chunk (fp32,bf16,int8)")
    parser.add_argument("--threads", type=int, default=len(cpus),
                        help="CPUs that every program gets (all)")
    parser.add_argument("--long", action="store_true",
                        help="also the lengths that take many minutes")
    parser.add_argument("--most-tokens", type=int, default=1 << 40,
                        help="leave out longer documents")
    parser.add_argument("--output", type=path, default=path("peers.json"),
                        help="the report (peers.json)")
    parser.add_argument("--server", type=path,
                        help="longhand-server, for the workload start")
    parser.add_argument("--program", type=path, required=True,
                        help="longhand_peer")
    parser.add_argument("--python", type=path, required=True,
                        help="an interpreter with requirements.txt")
    parser.add_argument("--model", type=path, required=True,
                        help="a BERT model directory")
    parser.add_argument("--text", type=path, required=True,
                        help="UTF-8 text to take tokens from")
    parser.add_argument("--exports", type=path,
                        help="where to keep the peers' graphs (nowhere)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    if not 1 <= arguments.threads <= len(cpus):
        parser.error(f"--threads: 1 to {len(cpus)}")
    arguments.cpus = cpus
    return arguments


def machine(runner):
    """What the figures depend on."""
    with runner.ours() as ours:
        info = ours.ask("info")
    names = {line.partition(":")[2].strip()
             for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")}
    return {"cpu": ", ".join(sorted(names)), "threads": runner.threads,
            "isa": info["isa"], "onednn": info["onednn"]}


def print_report(content, output):
    """Writes what is there so far."""
    output.write_text(json.dumps(content, indent=1) + "\n")
    rows = [row for rows in content["workloads"].values() for row in rows]
    output.with_suffix(".md").write_text(report.markdown_table(rows))


def measure(runner, plan):
    if "lengths" in plan and not runner.lengths(plan):
        return []
    try:
        return MEASURES[plan["kind"]](runner, plan)
    except WorkerError as error:
        return [{"work": plan["kind"], "ours": "", "against": "",
                 "error": str(error)}]


def main():
    # So that what was started is ended and what was written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plans = json.loads(WORKLOADS.read_text())
    arguments = parse_arguments(plans)
    with tempfile.TemporaryDirectory(prefix="longhand-peers-") as scratch:
        runner = bench.Bench(arguments, pathlib.Path(scratch))
        content = {"machine": machine(runner), "rounds": arguments.rounds,
                   "memory": runner.memory, "workloads": {}}
        for name in arguments.workloads:
            bench.progress(name)
            rows = measure(runner, plans[name])
            content["workloads"][name] = rows
            print_report(content, arguments.output)
            print(f"{name}\n{report.plain_table(rows)}", flush=True)
    for entry in runner.memory:
        print(f"memory, {entry['ours']}, after {entry['after']}: resident "
              f"{entry['resident_bytes'] / 2**20:.0f} MiB, "
              f"{entry['resident_bytes'] / entry['weight_bytes']:.2f} times "
              "the weights")
    rows = [row for rows in content["workloads"].values() for row in rows]
    return 1 if any(map(report.failed, rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
