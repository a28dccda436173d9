#!/usr/bin/env python3
"""What gRPC, the server and its scheduling cost under a mixed load.

In one run, rounds times: short documents alone, one at a time (their unloaded
latency); then the same documents through the core alone and through the server,
in turns, each with the same number of clients. Prints the shares and writes a
JSON report. The server listens on a free loopback port and is stopped again.

Usage: measure.py --server FILE --client FILE --core-load FILE --model DIRECTORY
                  --text FILE [--output FILE] [--clients N] [--requests N]
                  [--rounds N] [--mix LIST] [--short NAME] ...
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE_SECONDS = 120
# What docs and README promise.
SHARE_AIM = 0.9
LATENCY_AIM = 3.0


def clean_environment():
    """Without what the programs would read from it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LONGHAND_")
    }


def cpu_seconds(pid):
    """User and system time of a process and its threads."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, program, model, scratch, flags):
        self.port_file = scratch / "port"
        self.log_file = scratch / "server.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "--model", model, "--listen", "127.0.0.1:0",
                 "--metrics-listen", "", "--port-file", self.port_file,
                 "--log-level", "warning", *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=clean_environment())  # fmt: skip

    def __enter__(self):
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self.port_file.exists():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                sys.exit(f"the server did not start:\n{self.log_file.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind, value, traceback):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)

    @property
    def address(self):
        return f"127.0.0.1:{int(self.port_file.read_text())}"


class CoreLoad:
    """longhand_core_load: measures when asked."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(
            [arguments.core_load, "--model", arguments.model,
             "--text", arguments.text, "--mix", arguments.mix,
             "--load-seed", str(arguments.load_seed),
             "--clients", str(arguments.clients),
             "--requests", str(arguments.requests),
             "--workers", str(arguments.workers),
             "--precision", arguments.precision],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=clean_environment())  # fmt: skip

    def __enter__(self):
        self.read_line()
        return self

    def __exit__(self, kind, value, traceback):
        self.process.stdin.close()
        if kind is not None:
            self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def read_line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("longhand_core_load ended without a result")
        return json.loads(line)

    def measure(self, ramp_up):
        self.process.stdin.write(f"{ramp_up}\n")
        self.process.stdin.flush()
        return self.read_line()


def run_load(arguments, server, *flags):
    """Runs `longhand load` and returns its report, with CPU seconds of both."""
    command = [
        arguments.client, "load", arguments.text, "--server", server.address,
        "--output", "json", "--no-progress", *map(str, flags),
    ]  # fmt: skip
    server_before = cpu_seconds(server.process.pid)
    client_before = os.times()
    done = subprocess.run(command, capture_output=True, text=True,
                          env=clean_environment(), check=False)  # fmt: skip
    client_after = os.times()
    if done.returncode != 0:
        sys.exit(f"longhand load exited with {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    total = report["total"]
    if total["ok"] != total["arrivals"]:
        sys.exit(f"not all documents were answered: {json.dumps(total['errors'])}")
    report["server_cpu_seconds"] = cpu_seconds(server.process.pid) - server_before
    report["client_cpu_seconds"] = (
        client_after.children_user - client_before.children_user
        + client_after.children_system - client_before.children_system
    )  # fmt: skip
    return report


def total_cpu_seconds(report):
    return report["server_cpu_seconds"] + report["client_cpu_seconds"]


def find_class(report, name):
    for stats in report["classes"]:
        if stats["name"] == name:
            return stats
    sys.exit(f"the mix has no class {name!r}; name one with --short")


def pooled_percentile(latencies, percent):
    """Of several histograms together, by nearest rank."""
    buckets = sorted(
        (upper, count) for latency in latencies for upper, count in latency["buckets"]
    )
    total = sum(count for _, count in buckets)
    rank = max(1, -(-total * percent // 100))
    seen = 0
    for upper, count in buckets:
        seen += count
        if seen >= rank:
            return upper
    sys.exit("no short document was answered: more --requests")


class Measurements:
    def __init__(self, arguments, server, core):
        self.arguments = arguments
        self.server = server
        self.core = core
        self.rounds = []
        self.setup_cpu_seconds = 0.0

    def short_tokens(self):
        for entry in self.arguments.mix.split(","):
            name, _, tokens = entry.split(":")
            if name == self.arguments.short:
                return tokens
        sys.exit(f"the mix has no class {self.arguments.short!r}")

    def measure_unloaded(self):
        arguments = self.arguments
        report = run_load(
            arguments, self.server, "--clients", 1, "--requests",
            arguments.unloaded_requests, "--load-seed", arguments.load_seed,
            "--mix", f"{arguments.short}:1:{self.short_tokens()}",
        )  # fmt: skip
        return find_class(report, arguments.short)["latency"]

    def measure_setup(self):
        """What a load costs before it begins: all but nothing of this one is it."""
        costs = []
        for _ in range(3):
            report = run_load(self.arguments, self.server, "--clients", 1,
                              "--requests", 1, "--mix", "one:1:1")  # fmt: skip
            costs.append(total_cpu_seconds(report))
        self.setup_cpu_seconds = statistics.median(costs)

    def measure_mixed(self, ramp_up):
        arguments = self.arguments
        return run_load(
            arguments, self.server, "--clients", arguments.clients, "--requests",
            arguments.requests, "--load-seed", arguments.load_seed,
            "--mix", arguments.mix, "--ramp-up", ramp_up,
        )  # fmt: skip

    def measure_steady(self):
        """The mix once most clients wait for long documents.

        At the start all of them send short ones at once, and a list of
        documents ends with whatever is left over: neither is what a server
        that runs all day sees.
        """
        arguments = self.arguments
        return run_load(
            arguments, self.server, "--clients", arguments.clients, "--load-seed",
            arguments.load_seed, "--mix", arguments.mix, "--warm-up",
            f"{arguments.steady_warm_up}s", "--duration",
            f"{arguments.steady_seconds}s",
        )  # fmt: skip

    def measure_round(self, number):
        result = {"unloaded": self.measure_unloaded()}
        # One client more whenever a short document would be done.
        ramp_up = self.arguments.clients * result["unloaded"]["p50"]
        # Neither is always the first.
        if number % 2 == 0:
            result["core"] = self.core.measure(ramp_up)
            result["mixed"] = self.measure_mixed(ramp_up)
        else:
            result["mixed"] = self.measure_mixed(ramp_up)
            result["core"] = self.core.measure(ramp_up)
        result["steady"] = self.measure_steady()
        mixed, core = result["mixed"], result["core"]
        tokens = mixed["total"]["throughput"]["answered_tokens"]
        # Words at the ends of pieces may make a token more or less.
        if abs(tokens - core["tokens"]) > 0.001 * core["tokens"]:
            sys.exit(f"not the same work: {tokens} and {core['tokens']} tokens")
        cpu = total_cpu_seconds(mixed) - self.setup_cpu_seconds
        result["throughput_share"] = (
            mixed["total"]["throughput"]["tokens_per_second"]
            / core["tokens_per_second"]
        )
        result["cpu_share"] = core["cpu_seconds"] / cpu
        self.rounds.append(result)
        self.print_round(number, result)

    def print_round(self, number, result):
        short = find_class(result["steady"], self.arguments.short)["latency"]
        print(
            f"round {number + 1}: core {result['core']['tokens_per_second']:.0f} "
            "tokens/s, server "
            f"{result['mixed']['total']['throughput']['tokens_per_second']:.0f} "
            f"({result['throughput_share']:.1%}; by CPU time "
            f"{result['cpu_share']:.1%}); {self.arguments.short}: "
            f"unloaded p50 {1e3 * result['unloaded']['p50']:.1f} ms, "
            f"p99 {1e3 * result['unloaded']['p99']:.1f} ms, mixed p50 "
            f"{1e3 * short['p50']:.1f} ms, p99 {1e3 * short['p99']:.1f} ms",
            file=sys.stderr,
        )

    def summary(self):
        unloaded = [result["unloaded"] for result in self.rounds]
        loaded = [
            find_class(result["steady"], self.arguments.short)["latency"]
            for result in self.rounds
        ]
        unloaded_p50 = pooled_percentile(unloaded, 50)
        unloaded_p99 = pooled_percentile(unloaded, 99)
        loaded_p99 = pooled_percentile(loaded, 99)
        return {
            "throughput_share": spread(self.rounds, "throughput_share"),
            "cpu_share": spread(self.rounds, "cpu_share"),
            "short": {
                "samples": sum(latency["count"] for latency in loaded),
                "unloaded_p50": unloaded_p50,
                "unloaded_p99": unloaded_p99,
                "mixed_p50": pooled_percentile(loaded, 50),
                "mixed_p99": loaded_p99,
                "mixed_p99_over_unloaded_p50": loaded_p99 / unloaded_p50,
                "mixed_p99_over_unloaded_p99": loaded_p99 / unloaded_p99,
            },
        }


def spread(rounds, key):
    values = [result[key] for result in rounds]
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def print_summary(summary, arguments):
    share, cpu, short = (
        summary[key] for key in ("throughput_share", "cpu_share", "short")
    )
    print(
        f"{arguments.rounds} rounds of {arguments.requests} documents "
        f"({arguments.mix}), {arguments.clients} clients"
    )
    for name, values in [("wall time", share), ("CPU time, client included", cpu)]:
        print(
            f"throughput through gRPC over the core's, by {name}: "
            f"{values['median']:.1%} ({values['min']:.1%} to {values['max']:.1%})"
        )
    print(
        f"{arguments.short} documents, {short['samples']} of them: p99 in the mix "
        f"{1e3 * short['mixed_p99']:.1f} ms\n"
        f"  over the unloaded p50 ({1e3 * short['unloaded_p50']:.1f} ms): "
        f"{short['mixed_p99_over_unloaded_p50']:.2f} x\n"
        f"  over the unloaded p99 ({1e3 * short['unloaded_p99']:.1f} ms): "
        f"{short['mixed_p99_over_unloaded_p99']:.2f} x"
    )
    for what, reached in [
        (f"share >= {SHARE_AIM:.0%}", share["median"] >= SHARE_AIM),
        (
            f"p99 <= {LATENCY_AIM:g} x the unloaded p50",
            short["mixed_p99_over_unloaded_p50"] <= LATENCY_AIM,
        ),
    ]:
        print(f"aim {what}: {'reached' if reached else 'missed'}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, what in [
        ("server", "longhand-server"),
        ("client", "longhand"),
        ("core-load", "longhand_core_load"),
        ("model", "model directory"),
        ("text", "UTF-8 text that documents are cut from"),
    ]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=what)
    parser.add_argument("--output", type=pathlib.Path, help="JSON report")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument(
        "--requests", type=int, default=160, help="documents of one measurement"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mix", default="short:0.8:128,long:0.2:8000")
    parser.add_argument(
        "--steady-warm-up", type=int, default=30, metavar="SECONDS",
        help="of the mix before the latencies of short documents count",
    )  # fmt: skip
    parser.add_argument(
        "--steady-seconds", type=int, default=60, metavar="SECONDS",
        help="for which they count",
    )  # fmt: skip
    parser.add_argument("--short", default="short", help="class whose p99 counts")
    parser.add_argument(
        "--unloaded-requests", type=int, default=200, help="in every round"
    )
    parser.add_argument("--load-seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="of both; 0: all CPUs")
    parser.add_argument("--precision", default="fp32", help="of both")
    parser.add_argument(
        "--server-flag", action="append", default=[], metavar="FLAG",
        help="more of the server's flags, as --server-flag=--NAME=VALUE",
    )  # fmt: skip
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    flags = [f"--workers={arguments.workers}", f"--precision={arguments.precision}",
             *arguments.server_flag]  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as scratch,
        Server(arguments.server, arguments.model, pathlib.Path(scratch), flags) as server,
        CoreLoad(arguments) as core,
    ):
        measurements = Measurements(arguments, server, core)
        # As warm as the core, which has encoded some documents by now.
        run_load(arguments, server, "--clients", 1, "--requests", 4, "--mix",
                 arguments.mix, "--load-seed", arguments.load_seed)  # fmt: skip
        measurements.measure_setup()
        for number in range(arguments.rounds):
            measurements.measure_round(number)
            if arguments.output:
                settings = {
                    key: value if isinstance(value, (int, list)) else str(value)
                    for key, value in vars(arguments).items()
                }
                report = {
                    "format": "longhand.bench.load.v1",
                    "settings": settings,
                    "cpus": len(os.sched_getaffinity(0)),
                    "summary": measurements.summary(),
                    "rounds": measurements.rounds,
                }
                # What is there stays if the rest is interrupted.
                arguments.output.write_text(json.dumps(report, indent=1))
    print_summary(measurements.summary(), arguments)


if __name__ == "__main__":
    main()
