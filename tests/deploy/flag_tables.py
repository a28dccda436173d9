#!/usr/bin/env python3
"""Prints the flags of longhand-server as tables, made of its --help.

Usage: flag_tables.py SERVER [--write PAGE]

With --write the tables replace those between the marks in PAGE.
"""

import argparse
import pathlib
import re
import subprocess

BEGIN = "<!-- flags: made by tests/deploy/flag_tables.py -->"
END = "<!-- end of flags -->"
FLAG = re.compile(r"^  (?:-\w,)?--([a-z0-9-]+)(?: ([A-Z:]+))?\s*(.*)$")
CONTINUED = re.compile(r"^ {20,}(\S.*)$")
VARIABLE = re.compile(r"LONGHAND_[A-Z0-9_]+")
# A default stands in brackets at the end, and may have brackets itself.
DEFAULT = re.compile(r"\s*\[((?:[^\[\]]|\[[^\[\]]*\])*)\]$")
NOT_SETTINGS = {"help", "version"}


def groups_of(help_text):
    """[(title, [[name, type, text]])] in the order of the help."""
    groups, flag = [], None
    for line in help_text.splitlines():
        match = FLAG.match(line)
        continued = CONTINUED.match(line)
        if re.match(r"^[A-Z][^:]*:$", line):
            groups.append((line[:-1], []))
        elif match and groups:
            flag = [match.group(1), match.group(2) or "", match.group(3)]
            groups[-1][1].append(flag)
        elif continued and flag and line.strip():
            if not VARIABLE.fullmatch(continued.group(1)):
                flag[2] = f"{flag[2]} {continued.group(1)}".strip()
        elif line.strip():
            flag = None
    return [(title, flags) for title, flags in groups if flags]


def tables(help_text):
    """Markdown."""
    lines = [BEGIN]
    for title, flags in groups_of(help_text):
        lines += ["", f"### {title}", "", "| flag | meaning | default |",
                  "| --- | --- | --- |"]
        for name, kind, text in flags:
            if name in NOT_SETTINGS:
                continue
            default = DEFAULT.search(text)
            text = DEFAULT.sub("", text)
            cells = (f"`--{name}` {kind}".strip(), text,
                     default.group(1) if default else "")
            lines.append("| " + " | ".join(cells).rstrip() + " |")
    return "\n".join([*lines, "", END])


def tables_of(server):
    result = subprocess.run([server, "--help"], capture_output=True, text=True,
                            check=True)
    return tables(result.stdout)


def between_marks(page):
    begin, end = page.index(BEGIN), page.index(END) + len(END)
    return page[begin:end]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("--write", type=pathlib.Path, metavar="PAGE")
    arguments = parser.parse_args()
    text = tables_of(arguments.server)
    if arguments.write is None:
        print(text)
        return
    page = arguments.write.read_text()
    arguments.write.write_text(page.replace(between_marks(page), text))


if __name__ == "__main__":
    main()
