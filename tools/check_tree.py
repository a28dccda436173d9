#!/usr/bin/env python3
"""Checks the form of the files in the repository.

Usage: check_tree.py [--root DIR]

* .cc, .h and .py files of core, server, client and tools have at most 500
  lines,
* headers of core, server and client open with a comment, their contract,
* no file names a package registry's host or a path of a developer's machine,
* no text file has white space at the end of a line (seeds of fuzzers are bytes,
  not text).

The files are those that git tracks or would track; without git, all but build
outputs and downloads. Prints `PATH:LINE: what` for each violation and exits
with 1 if there are any.
"""

import argparse
import pathlib
import re
import subprocess
import sys

MAX_LINES = 500
BOUNDED_FOLDERS = ("core", "server", "client", "tools")
BOUNDED_SUFFIXES = (".cc", ".h", ".py")
CONTRACT_FOLDERS = ("core", "server", "client")
# What .gitignore leaves out, for a tree without git.
UNTRACKED = re.compile(
    r"(^|/)(\.git|\.deps|models|build[^/]*|target|__pycache__)(/|$)|\.pyc$")
SEEDS = "tests/fuzz/corpus/"
REGISTRY_HOST = re.compile(
    r"files\.pythonhosted|pypi\.org|registry\.npmjs|crates\.io|proxy\.golang"
    r"|repo1\.maven|deb\.debian\.org|hub\.docker\.com")
# The source of a crate in Cargo.lock is an identifier, not a place to ask.
CRATE_SOURCE = re.compile(r'^source = "registry\+[^"]*"$')
MACHINE_PATH = re.compile(
    r"(?<![\w.$}/-])/(?:(?:root|work|home/\w+)/|tmp/build)")


def git_files(root):
    """Paths below `root`, or None if it is not a git work tree."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return sorted(set(result.stdout.decode().split("\0")) - {""})


def walked_files(root):
    names = (path.relative_to(root).as_posix() for path in root.rglob("*")
             if path.is_file())
    return sorted(name for name in names if not UNTRACKED.search(name))


def check_shape(name, lines):
    """Yields (line, what) for rules about the file as a whole."""
    folder = name.split("/")[0]
    suffix = pathlib.PurePath(name).suffix
    if (folder in BOUNDED_FOLDERS and suffix in BOUNDED_SUFFIXES
        and len(lines) > MAX_LINES):
        yield len(lines), f"has {len(lines)} lines, the limit is {MAX_LINES}"
    if folder in CONTRACT_FOLDERS and suffix == ".h":
        if not lines or not lines[0].startswith(("//", "/*")):
            yield 1, "a header opens with a comment that says its contract"


def check_line(name, line):
    """Yields what is wrong with one line."""
    is_lock = name.endswith("Cargo.lock") and CRATE_SOURCE.match(line)
    host = REGISTRY_HOST.search(line)
    if host and not is_lock:
        yield f"names a package registry: {host.group()}"
    path = MACHINE_PATH.search(line)
    if path:
        yield f"names a path of one machine: {path.group()}"
    if line != line.rstrip() and not name.startswith(SEEDS):
        yield "white space at the end of the line"


def check_file(name, content):
    """Yields the violations of one file as lines."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    if "\0" in text:
        return
    lines = text.removesuffix("\n").split("\n")
    for number, what in check_shape(name, lines):
        yield f"{name}:{number}: {what}"
    for number, line in enumerate(lines, 1):
        for what in check_line(name, line):
            yield f"{name}:{number}: {what}"


def check(root):
    """Returns the violations below `root` as lines."""
    names = git_files(root)
    if names is None:
        names = walked_files(root)
    problems = []
    for name in names:
        path = root / name
        if path.is_file() and not path.is_symlink():
            problems.extend(check_file(name, path.read_bytes()))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    problems = check(parser.parse_args().root)
    print("\n".join(problems) if problems else "the files are in form")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
