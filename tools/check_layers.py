#!/usr/bin/env python3
"""Checks that the code keeps to the layers of tools/layers.txt.

Usage: check_layers.py [--root DIR] [--layers FILE]

Looks at every C++ file and CMakeLists.txt of core, server and client:

* an #include of one of our folders must be allowed by its line in the file, and
  so must a CMake target (longhand::core_NAME) that core/NAME links,
* nothing in core names gRPC, protobuf or Prometheus,
* in core only core/compute names oneDNN or OpenMP's header.

Prints one line for each violation, `PATH:LINE: what`, and exits with 1 if there
are any, with 2 if the layers themselves are wrong.
"""

import argparse
import pathlib
import re
import sys

TOP_FOLDERS = ("core", "server", "client")
CODE_SUFFIXES = (".cc", ".h", ".def", ".inc")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CORE_TARGET = re.compile(r"\blonghand::core_(\w+)")
# Anywhere in core, comments and build files included.
TRANSPORT = re.compile(r"grpc|protobuf|prometheus|longhand/v1|longhand::proto",
                       re.IGNORECASE)
# oneDNN's names; `onednn_version` and the like are ours.
ONEDNN = re.compile(r"\bdnnl(_\w+)?\b|\boneapi/|\bDNNL::|<omp\.h>|\bOpenMP::")


class LayersError(Exception):
    """The layers file contradicts itself."""


def read_layers(path):
    """Returns {folder: set of allowed folders and headers}."""
    layers = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        folder, colon, rest = line.partition(":")
        where = f"{path}:{number}"
        if not colon:
            raise LayersError(f"{where}: expected FOLDER: DEPENDENCY...")
        if folder in layers:
            raise LayersError(f"{where}: {folder} has a line already")
        for dependency in rest.split():
            owner = (dependency.rpartition("/")[0]
                     if dependency.endswith(".h") else dependency)
            if owner not in layers:
                raise LayersError(f"{where}: {folder} depends on {owner}, "
                                  "which no earlier line has")
        layers[folder] = set(rest.split())
    return layers


def may_include(layers, folder, header):
    owner = header.rpartition("/")[0]
    return owner == folder or not layers[folder].isdisjoint({owner, header})


def check_include(layers, folder, bracket, header):
    if bracket != '"' or header.split("/")[0] not in TOP_FOLDERS:
        return None
    if may_include(layers, folder, header):
        return None
    return f"{folder} may not include {header} (tools/layers.txt)"


def check_link(layers, folder, target):
    linked = f"core/{target}"
    if linked == folder or linked in layers[folder]:
        return None
    return f"{folder} may not link longhand::core_{target} (tools/layers.txt)"


def check_line(layers, folder, is_code, line):
    """Yields what is wrong with one line of a file in `folder`."""
    include = INCLUDE.match(line) if is_code else None
    if include:
        yield check_include(layers, folder, *include.groups())
    if not folder.startswith("core"):
        return
    if not is_code:
        for target in CORE_TARGET.findall(line):
            yield check_link(layers, folder, target)
    name = TRANSPORT.search(line)
    if name:
        yield f"core may not name {name.group()}"
    name = ONEDNN.search(line)
    if name and folder != "core/compute":
        yield f"only core/compute may name {name.group()}"


def source_files(root):
    for top in TOP_FOLDERS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in CODE_SUFFIXES or path.name == "CMakeLists.txt":
                yield path


def check(root, layers):
    """Returns the violations below `root` as lines."""
    problems = []
    for path in source_files(root):
        name = path.relative_to(root).as_posix()
        folder = name.rpartition("/")[0]
        is_code = path.name != "CMakeLists.txt"
        if folder not in layers:
            if is_code:
                problems.append(f"{name}:1: {folder} has no line in "
                                "tools/layers.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for what in check_line(layers, folder, is_code, line):
                if what:
                    problems.append(f"{name}:{number}: {what}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("--root", type=pathlib.Path, default=here.parent)
    parser.add_argument("--layers", type=pathlib.Path,
                        default=here / "layers.txt")
    arguments = parser.parse_args()
    try:
        layers = read_layers(arguments.layers)
    except LayersError as error:
        print(error)
        return 2
    problems = check(arguments.root, layers)
    print("\n".join(problems) if problems else "the layers are kept")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
