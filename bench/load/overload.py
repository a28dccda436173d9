#!/usr/bin/env python3
"""What a server does under several times the load that it can bear.

Finds the peak with a closed loop, then offers multiples of it in an open loop,
where documents come whether or not earlier ones are answered. Each document has
a deadline. Prints goodput (tokens of answers in time) as a share of the peak,
latencies of answers and of refusals, late answers, the slowest `longhand health`
(its start included), the server's memory, and how many cores the load took, which
runs on the same ones as the server; a last step offers half of the peak again. The
server listens on a free loopback port and is stopped again.

Usage: overload.py --server FILE --client FILE --model DIRECTORY --text FILE
                   [--tokens N] [--deadline S] [--seconds S] [--factors LIST]
                   [--output FILE] [-- SERVER_FLAG...]
"""

import argparse
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time

import measure


def load(arguments, server, *flags):
    """One run of `longhand load`; its total."""
    command = [
        arguments.client, "load", arguments.text, "--server", server.address,
        "--output", "json", "--no-progress",
        "--mix", f"document:1:{arguments.tokens}", "--method", "encode",
        "--deadline", str(arguments.deadline),
        "--duration", f"{arguments.seconds}s", "--warm-up", "2s",
        *map(str, flags),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True,
                          env=measure.clean_environment(), check=False)  # fmt: skip
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"longhand load exited with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["total"]


class HealthChecks:
    """Asks for the server's health every two seconds while it is entered: to
    start a program more often takes from the server's processors."""

    def __init__(self, client, address):
        self.command = [client, "health", "--server", address]
        self.ended = threading.Event()
        self.seconds = []
        self.error = None
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        while not self.ended.wait(2):
            begin = time.monotonic()
            done = subprocess.run(self.command, capture_output=True, text=True,
                                  env=measure.clean_environment(), check=False)  # fmt: skip
            if done.returncode != 0:
                self.error = done.stderr
            self.seconds.append(time.monotonic() - begin)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, traceback):
        self.ended.set()
        self.thread.join()
        if self.error is not None and kind is None:
            sys.exit(f"longhand health failed: {self.error}")


def resident_mib(server, field):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.M).group(1)) / 1024


def children_seconds():
    """Processor time of the programs that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rate(total):
    """Tokens of answers in time, a second."""
    return total["throughput"]["goodput_tokens_per_second"]


def milliseconds(latency, name):
    return latency[name] * 1000 if latency["count"] else float("nan")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    for name in ("server", "client", "model", "text"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--deadline", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--factors", default="1,2,5,10,0.5")
    parser.add_argument("--output")
    parser.add_argument("server_flags", nargs="*")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, measure.Server(
            arguments.server, arguments.model, pathlib.Path(scratch),
            arguments.server_flags) as server:  # fmt: skip
        peak = load(arguments, server, "--clients", 8)
        print(f"peak, 8 clients: {rate(peak):.0f} tokens/s, "
              f"p50 {milliseconds(peak['latency'], 'p50'):.0f} ms, "
              f"p99 {milliseconds(peak['latency'], 'p99'):.0f} ms")  # fmt: skip
        print("  load  goodput  p50 ms  p99 ms  refused  p50 ms  p99 ms"
              "  expired  health ms    RSS MiB  load's cores")  # fmt: skip
        documents = rate(peak) / arguments.tokens
        for factor in map(float, arguments.factors.split(",")):
            begin, before = time.monotonic(), children_seconds()
            with HealthChecks(arguments.client, server.address) as health:
                total = load(arguments, server, "--rate", factor * documents,
                             "--max-outstanding", 5000)  # fmt: skip
            row = {
                "factor": factor,
                "goodput": rate(total) / rate(peak),
                "total": total,
                "health_seconds": health.seconds,
                "resident_mib": resident_mib(server, "VmRSS"),
                "load_cores": (children_seconds() - before)
                / (time.monotonic() - begin),
            }
            rows.append(row)
            answered, refused = total["latency"], total["reject_latency"]
            print(f"{factor:5.1f}x {row['goodput']:8.2f} "
                  f"{milliseconds(answered, 'p50'):7.0f} "
                  f"{milliseconds(answered, 'p99'):7.0f} "
                  f"{total['rejected']:8d} {milliseconds(refused, 'p50'):7.1f} "
                  f"{milliseconds(refused, 'p99'):7.1f} "
                  f"{total['deadline_exceeded']:8d} "
                  f"{max(health.seconds) * 1000:10.0f} "
                  f"{row['resident_mib']:10.0f} "
                  f"{row['load_cores']:13.2f}", flush=True)  # fmt: skip
        print(f"most memory at any time: {resident_mib(server, 'VmHWM'):.0f} MiB")
    if arguments.output:
        pathlib.Path(arguments.output).write_text(
            json.dumps({"peak": peak, "loads": rows}, indent=1) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
