#!/usr/bin/env python3
"""Compares what the work costs, in instructions, with what it did cost.

Each piece of work (longhand_instructions --list) is done once warm under
callgrind, and its instructions are compared with baseline.json. Exits with

  0   every count is within the tolerance, or was recorded (--record)
  1   a count is not: more is a regression, less a gain to be recorded
  2   something is wrong with the arguments or the files, or a work failed
  77  nothing can be compared here: no valgrind, or no counts of this toolchain
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from cut_model import cut_model

# Some 40 times what counts vary by, see README.md.
TOLERANCE = 0.02

PASSED, FAILED, BROKEN, SKIPPED = 0, 1, 2, 77
HERE = pathlib.Path(__file__).resolve().parent
RECORD = "`bench/gate/run --record`"
ADVICE = {
    "REGRESSION":
        f"A work takes over {TOLERANCE:.0%} more instructions than its "
        "baseline: make it cheaper. If what it buys is worth that, record the "
        f"new counts ({RECORD}) and say in the commit what it buys.",
    "GAIN":
        f"A work takes over {TOLERANCE:.0%} fewer instructions than its "
        "baseline: the gain must be recorded, or it could be lost again "
        f"unseen. Run {RECORD} and commit baseline.json.",
    "NEW":
        f"A work has no baseline yet: run {RECORD} and commit baseline.json.",
}


class GateError(Exception):
    """A work could not be counted."""


class Skip(Exception):
    """Nothing can be compared here."""


def verdict(count, baseline):
    """What a count says: "ok" or a key of ADVICE. baseline may be None."""
    if baseline is None:
        return "NEW"
    if count > baseline * (1 + TOLERANCE):
        return "REGRESSION"
    if count < baseline * (1 - TOLERANCE):
        return "GAIN"
    return "ok"


def print_table(before, counts):
    """before: {work: baseline or None}; counts: {work: count}."""
    print(f"{'work':<12} {'baseline':>13} {'now':>13} {'ratio':>7}")
    for work, count in counts.items():
        baseline, ratio = "-", "-"
        if before[work] is not None:
            baseline = f"{before[work]:,}"
            ratio = f"{count / before[work]:.4f}"
        print(f"{work:<12} {baseline:>13} {count:>13,} {ratio:>7}  "
              f"{verdict(count, before[work])}")


def report(before, counts):
    """Prints the table and what to do; returns the exit status."""
    print_table(before, counts)
    verdicts = {verdict(count, before[work]) for work, count in counts.items()}
    for word in ADVICE:
        if word in verdicts:
            print(f"\n{ADVICE[word]}")
    return PASSED if verdicts == {"ok"} else FAILED


def recorded(baseline, works, counts):
    """The baseline with the counts of {work: toolchain} in it."""
    result = {toolchain: dict(known) for toolchain, known in baseline.items()}
    for work, count in counts.items():
        result.setdefault(works[work], {})[work] = count
    return result


def without_others(baseline, listing):
    """The baseline without works that there are no longer."""
    kept = {toolchain: {work: count for work, count in known.items()
                        if work in listing}
            for toolchain, known in baseline.items()}
    return {toolchain: known for toolchain, known in kept.items() if known}


def read_count(path):
    """The instructions in a file of callgrind.

    Not from its line `summary`, which is 0 once counting was switched off.
    """
    match = re.search(r"^totals: (\d+)$", path.read_text(), re.M)
    return int(match.group(1)) if match else 0


class Counter:
    """Runs the program under valgrind, in an environment of its own."""

    def __init__(self, valgrind, program, directory):
        self._valgrind = valgrind
        self._program = program
        self._directory = directory
        # No options of the user's for valgrind, OpenMP, oneDNN or malloc.
        kept = ("PATH", "LD_LIBRARY_PATH")
        self._environment = {"HOME": str(directory), "LC_ALL": "C"} | {
            name: os.environ[name] for name in kept if name in os.environ}

    def works(self):
        """{work: toolchain}, the latter with the CPU that valgrind shows."""
        if not json.loads(self._run([self._program, "--list"]))["can_count"]:
            raise Skip("longhand_instructions was built without valgrind's "
                       "headers, or with a sanitizer; install valgrind, "
                       "configure and build again")
        return json.loads(self._run([self._valgrind, "-q", "--tool=none",
                                     self._program, "--list"]))["works"]

    def count(self, work, files):
        """The instructions of a work."""
        out = self._directory / f"callgrind.{work}"
        self._run([self._valgrind, "-q", "--tool=callgrind",
                   "--instr-atstart=no", f"--callgrind-out-file={out}",
                   self._program, "--work", work, *files])
        instructions = read_count(out)
        if instructions == 0:
            raise GateError(f"{work}: callgrind counted nothing")
        return instructions

    def _run(self, command):
        result = subprocess.run(command, cwd=self._directory, text=True,
                                env=self._environment, capture_output=True,
                                check=False)
        if result.returncode != 0:
            raise GateError(f"{' '.join(command)} ended with "
                            f"{result.returncode}:\n{result.stderr}")
        return result.stdout


def choose(listing, wanted):
    """{work: toolchain} of the works asked for, of all if none is."""
    for work in wanted:
        if work not in listing:
            raise GateError(f"there is no work {work}; use one of: "
                            f"{', '.join(listing)}")
    return {work: toolchain for work, toolchain in listing.items()
            if not wanted or work in wanted}


def comparable(baseline, works):
    """Those of {work: toolchain} whose toolchain has counts; names the others.

    Counts of another compiler or library say nothing.
    """
    others = sorted(set(works.values()) - set(baseline))
    kept = {work: toolchain for work, toolchain in works.items()
            if toolchain in baseline}
    reason = "no counts of this toolchain in the baseline:\n  " + "\n  ".join(others)
    if not kept:
        raise Skip(reason)
    if others:
        print(f"not compared: {', '.join(sorted(set(works) - set(kept)))}; {reason}")
    return kept


def run(arguments):
    baseline = {}
    if arguments.baseline.exists():
        baseline = json.loads(arguments.baseline.read_text())
    valgrind = shutil.which(arguments.valgrind)
    if valgrind is None:
        raise Skip(f"{arguments.valgrind} is not installed; "
                   "tools/setup --tests installs it")
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        counter = Counter(valgrind, str(arguments.program.resolve()), directory)
        listing = counter.works()
        works = choose(listing, arguments.work)
        if not arguments.record:
            works = comparable(baseline, works)
        cut_model(arguments.model, directory)
        tokenizer = arguments.model.resolve() / "tokenizer.json"
        files = ["--model", str(directory), "--tokenizer", str(tokenizer),
                 "--text", str(arguments.text.resolve())]
        counts = {work: counter.count(work, files) for work in works}
    before = {work: baseline.get(toolchain, {}).get(work)
              for work, toolchain in works.items()}
    if not arguments.record:
        return report(before, counts)
    print_table(before, counts)
    now = without_others(recorded(baseline, works, counts), listing)
    arguments.baseline.write_text(
        json.dumps(now, indent=2, sort_keys=True) + "\n")
    return PASSED


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--program", type=pathlib.Path, required=True,
        help="longhand_instructions")
    add("--model", type=pathlib.Path, required=True,
        help="directory of all-MiniLM-L6-v2")
    add("--text", type=pathlib.Path, default=HERE.parents[1] / "LICENSE",
        help="what is tokenized (default: the licence)")
    add("--baseline", type=pathlib.Path, default=HERE / "baseline.json",
        help="counts by toolchain")
    add("--valgrind", default="valgrind", help="the program valgrind")
    add("--work", action="append", default=[],
        help="this one alone; may be repeated")
    add("--record", action="store_true",
        help="write the counts into the baseline")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    try:
        return run(arguments)
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except (GateError, OSError, json.JSONDecodeError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
