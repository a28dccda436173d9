#!/usr/bin/env python3
"""Prints the reference of the gRPC API as Markdown, made of proto/.

Usage: api_docs.py [--write PAGE]

With --write it replaces what stands between the marks in PAGE (docs/api.md);
the rest of that page is written by hand. Reads the form that our protos have,
which proto_lint holds them to: one declaration a line, a comment before each. A
line that it does not know is an error.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROTOS = [ROOT / "proto/longhand/v1" / f"{name}_service.proto"
          for name in ("encoder", "session", "model")]
BEGIN = "<!-- reference: made by tools/api_docs.py -->"
END = "<!-- end of the reference -->"

BLOCK = re.compile(r"(service|message|enum|oneof) (\w+) \{(\})?$")
RPC = re.compile(r"rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\);$")
FIELD = re.compile(r"(optional |repeated )?([\w.]+) (\w+) = (\d+)"
                   r"(?: \[\(google\.api\.field_behavior\) = (\w+)\])?;$")
VALUE = re.compile(r"(\w+) = (\d+);$")
SKIPPED = re.compile(r"(syntax|package|import) ")


class Block:
    """A service, message, enum or oneof: its members are (comment, match)."""

    def __init__(self, kind, name, comment):
        self.kind, self.name, self.comment = kind, name, comment
        self.members = []  # and Blocks


def parse(text, where):
    """The blocks of a file, in its order."""
    top, stack, comment = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("//"):
            comment.append(line[2:].strip())
            continue
        if match := BLOCK.match(line):
            if bool(stack) != (match[1] == "oneof"):
                raise ValueError(f"{where}:{number}: cannot nest: {line}")
            block = Block(match[1], match[2], comment)
            (stack[-1].members if stack else top).append(block)
            if not match[3]:
                stack.append(block)
        elif line == "}" and stack:
            stack.pop()
        elif stack and line:
            pattern = {"service": RPC, "enum": VALUE}.get(stack[-1].kind, FIELD)
            match = pattern.match(line)
            if not match:
                raise ValueError(f"{where}:{number}: cannot read: {line}")
            stack[-1].members.append((comment, match))
        elif line and not SKIPPED.match(line):
            raise ValueError(f"{where}:{number}: cannot read: {line}")
        comment = []
    return top


def paragraphs(comment):
    return "\n".join(comment)


def cell(comment):
    return " ".join(comment).replace("|", "\\|")


def linked(name, known):
    return f"[{name}](#{name.lower()})" if name in known else f"`{name}`"


def method_lines(comment, rpc, known):
    name, sends, request, gives, response = rpc.groups()
    arrow = " → ".join(
        ("a stream of " if stream else "") + linked(message, known)
        for stream, message in ((sends, request), (gives, response)))
    return [f"#### {name}", "", arrow, "", paragraphs(comment), ""]


def field_row(comment, field, known, oneof=None):
    label, kind, name, number, behavior = field.groups()
    kind = linked(kind, known)
    label = (label or "").strip()
    notes = []
    if label == "repeated":
        kind = f"list of {kind}"
    if behavior == "REQUIRED":
        notes.append("required")
    elif behavior == "OPTIONAL":
        notes.append("may be left out")
    elif label == "optional":
        notes.append("may be unset")
    if oneof:
        notes.append(f"one of *{oneof}*")
    if notes:
        kind += "; " + ", ".join(notes)
    return f"| {number} | `{name}` | {kind} | {cell(comment)} |"


def message_lines(message, known):
    lines = [f"#### {message.name}", "", paragraphs(message.comment), ""]
    if not message.members:
        return lines + ["No fields.", ""]
    lines += ["| # | field | type | meaning |", "| --- | --- | --- | --- |"]
    choices = []
    for member in message.members:
        if isinstance(member, Block):
            choices.append(f"*{member.name}*: {cell(member.comment)}")
            lines += [field_row(*each, known, member.name)
                      for each in member.members]
        else:
            lines.append(field_row(*member, known))
    for choice in choices:
        lines += ["", choice]
    return lines + [""]


def enum_lines(enum):
    lines = [f"#### {enum.name}", "", paragraphs(enum.comment), "",
             "| # | value | meaning |", "| --- | --- | --- |"]
    lines += [f"| {value[2]} | `{value[1]}` | {cell(comment)} |"
              for comment, value in enum.members]
    return lines + [""]


def reference(files):
    """Markdown of {name: text}."""
    parsed = [parse(text, name) for name, text in files.items()]
    known = {block.name for blocks in parsed for block in blocks
             if block.kind in ("message", "enum")}
    lines = [BEGIN, ""]
    for blocks in parsed:
        for kind in ("service", "message", "enum"):
            for block in blocks:
                if block.kind != kind:
                    continue
                if kind == "service":
                    lines += [f"## longhand.v1.{block.name}", "",
                              paragraphs(block.comment), "", "### Methods", ""]
                    for member in block.members:
                        lines += method_lines(*member, known)
                    lines += ["### Messages", ""]
                elif kind == "message":
                    lines += message_lines(block, known)
                else:
                    lines += enum_lines(block)
    return "\n".join([*lines, END])


def methods(files):
    """The names of all methods, in order."""
    return [member[1][1] for name, text in files.items()
            for block in parse(text, name) if block.kind == "service"
            for member in block.members]


def between_marks(page):
    begin, end = page.index(BEGIN), page.index(END) + len(END)
    return page[begin:end]


def read_protos():
    found = set((ROOT / "proto").rglob("*.proto"))
    if found != set(PROTOS):
        raise ValueError(f"PROTOS should name {sorted(map(str, found))}")
    return {path.name: path.read_text() for path in PROTOS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=pathlib.Path, metavar="PAGE")
    arguments = parser.parse_args()
    text = reference(read_protos())
    if arguments.write is None:
        print(text)
        return 0
    page = arguments.write.read_text()
    arguments.write.write_text(page.replace(between_marks(page), text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
