#!/usr/bin/env python3
"""The README's promises, the tests that hold them, and how these ended.

Usage: promises.py BUILD_DIRECTORY [JUNIT_FILE]

Prints a line for each test of each promise; JUNIT_FILE is what
`ctest --output-junit` wrote, without it no results are shown. Fails if a promise
names no test, or one that the build does not know or that failed.
"""

import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
# By what ctest calls them.
RESULTS = {"run": "passed", "fail": "FAILED"}


def read_promises(readme):
    """Names and the files that they link to, in order: [(name, [path])]."""
    section = re.search(r"^## Promises\n(.*?)^## ", readme, re.M | re.S)
    if section is None:
        return []
    items = re.split(r"^\d+\. ", section.group(1), flags=re.M)[1:]
    return [(re.match(r"\*\*(.+?)\.?\*\*", item).group(1),
             [path for path in re.findall(r"\]\(([^)#]+)\)", item)
              if path.startswith("tests/")])
            for item in items]  # fmt: skip


def tests_of(path, commands):
    """Names of the tests that run a file; `commands`: {name: command}."""
    file = pathlib.PurePath(path)
    if file.suffix == ".cc":
        name = file.stem
        if name.endswith("_fuzz"):
            name = f"fuzz_replay_{name.removesuffix('_fuzz')}"
        return [name] if name in commands else []
    return [name for name, command in commands.items()
            if any(word.endswith(f"/{path}") for word in command)]  # fmt: skip


def read_commands(build):
    listing = subprocess.run(
        ["ctest", "--test-dir", build, "--show-only=json-v1"],
        check=True, capture_output=True, text=True).stdout  # fmt: skip
    return {test["name"]: test.get("command", [])
            for test in json.loads(listing)["tests"]}  # fmt: skip


def read_results(junit):
    """{test: run, fail, notrun or disabled}."""
    root = xml.etree.ElementTree.parse(junit).getroot()
    return {case.get("name"): case.get("status") for case in root.iter("testcase")}


def make_table(promises, commands, results):
    """Rows (promise, test, result) and errors."""
    rows, errors = [], []
    for number, (promise, paths) in enumerate(promises, 1):
        found = 0
        for path in paths:
            names = tests_of(path, commands)
            if not names:
                errors.append(f"promise {number}: no test runs {path}")
            for name in names:
                found += 1
                result = ""
                if results is not None:
                    result = RESULTS.get(results.get(name), "not run")
                rows.append((f"{number}. {promise}", name, result))
                if result == "FAILED":
                    errors.append(f"promise {number}: {name}: {result}")
        if found == 0 and promise != "Known limits stated":
            errors.append(f"promise {number}, {promise}: no test")
    if not promises:
        errors.append("README.md has no promises")
    return rows, errors


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        print(__doc__)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    results = read_results(sys.argv[2]) if len(sys.argv) == 3 else None
    promises = read_promises((ROOT / "README.md").read_text())
    rows, errors = make_table(promises, read_commands(sys.argv[1]), results)
    last = None
    for promise, test, result in rows:
        print(f"{promise if promise != last else '':24} {test:34} {result}".rstrip())
        last = promise
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
