#!/usr/bin/env python3
"""Runs longhand_attention for every row of mechanisms.json and every length.

Each measurement is a process of its own, one at a time. Prints a table and
writes a JSON report. Rows whose model or mechanism can't do a length say why.

Usage: measure.py --program FILE --models DIRECTORY --bert DIRECTORY
                  --text FILE --output FILE
                  [--tokens 1024,4096,16384,65536] [--rows NAME,...]
                  [--reference-tokens N] [--rounds N]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SHORT = 4096  # documents up to here run several times


class Measurements:
    def __init__(self, arguments, scratch):
        self.arguments = arguments
        self.scratch = pathlib.Path(scratch)
        self.plan = json.loads((HERE / "mechanisms.json").read_text())
        self.references = {}

    def model(self, name):
        if name == "bert":
            return self.arguments.bert
        return self.arguments.models / name

    def run(self, model, tokens, options, *more):
        rounds = self.arguments.rounds if tokens <= SHORT else 1
        command = [
            self.arguments.program,
            "--model", self.model(model),
            "--text", self.arguments.text,
            "--tokens", str(tokens),
            "--options", json.dumps(options),
            "--rounds", str(rounds),
            *more,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["ended without a word"]
            return {"error": lines[-1]}
        return json.loads(done.stdout)

    def reference(self, model, visibility, tokens):
        """The passages of full attention on the same weights, and its cost."""
        key = (model, visibility, tokens)
        if key not in self.references:
            path = self.scratch / "-".join(map(str, key))
            result = self.run(
                model,
                tokens,
                self.plan["reference"][visibility],
                "--passages",
                path,
            )
            self.references[key] = (path, result)
        return self.references[key]

    def measure(self, row, tokens):
        result = {"name": row["name"], "model": row["model"], "length": tokens}
        if tokens > row.get("most_tokens", tokens):
            return result | {"error": "not run: grows with the square of the length"}
        visibility = row.get("reference", "bidirectional")
        # Full attention over one long chunk is a reference, not a row: only as
        # far as it is bearable.
        has_reference = visibility is not None and (
            row["model"] == "bert" and visibility == "bidirectional"
            or tokens <= self.arguments.reference_tokens
        )
        if not has_reference:
            return result | self.run(row["model"], tokens, row["options"])
        path, cost = self.reference(row["model"], visibility, tokens)
        if row["name"] == "full":
            return result | cost | {"mean_cosine": 1.0, "min_cosine": 1.0}
        if "error" in cost:
            print(f"no reference: {cost['error']}", file=sys.stderr)
            result["reference_error"] = cost["error"]
            return result | self.run(row["model"], tokens, row["options"])
        return result | self.run(
            row["model"], tokens, row["options"], "--reference", path
        )


def cell(result):
    if "error" in result:
        return f"{'-':>9} {'-':>9} {'-':>8}"
    error = result.get("mean_cosine")
    error = "-" if error is None else f"{1 - error:.3f}"
    return (
        f"{result['cpu_seconds']:9.2f} {result['growth_bytes'] / 2**20:9.1f} {error:>8}"
    )


def print_table(results, lengths):
    by_row = {}
    for result in results:
        by_row.setdefault(result["name"], {})[result["length"]] = result
    print("per length: CPU seconds, growth of memory in MiB, 1 - mean cosine to full")
    print(f"{'':26}" + "".join(f"{length:>31}" for length in lengths))
    for name, row in by_row.items():
        cells = (f" | {cell(row[length])}" for length in lengths)
        print(f"{name:26}" + "".join(cells))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("program", "models", "bert", "text", "output"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--tokens", default="1024,4096,16384,65536")
    parser.add_argument("--rows", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--reference-tokens",
        type=int,
        default=16_384,
        help="longest document for which other references than bidirectional "
        "BERT are computed",
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    lengths = [int(length) for length in arguments.tokens.split(",")]
    wanted = [name for name in arguments.rows.split(",") if name]
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        measurements = Measurements(arguments, scratch)
        known = [row["name"] for row in measurements.plan["rows"]]
        for name in wanted:
            if name not in known:
                sys.exit(f"there is no row {name!r}; known: {', '.join(known)}")
        for length in lengths:
            for row in measurements.plan["rows"]:
                if wanted and row["name"] not in wanted:
                    continue
                result = measurements.measure(row, length)
                results.append(result)
                note = result.get("error") or cell(result)
                print(f"{length:7} {row['name']:26} {note}", file=sys.stderr)
                # What is there stays if the rest is interrupted.
                arguments.output.write_text(json.dumps(results, indent=1))
    print_table(results, lengths)
    failed = (
        "reference_error" in result
        or "not run" not in result.get("error", "not run")
        for result in results
    )
    if any(failed):
        sys.exit(1)


if __name__ == "__main__":
    main()
