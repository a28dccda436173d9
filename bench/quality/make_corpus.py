#!/usr/bin/env python3
"""Makes the documents of the retrieval experiment from Debian packages.

Usage: make_corpus.py [--cache DIR] [--manifest FILE] [--choose]

Downloads the packages that manifest.json names (`apt-get download`, the
versions that this machine's sources have), unpacks them into the cache,
extracts the plain text of the documents that it names and writes
DIR/corpus.jsonl: one object per document with id, collection, title, topic,
text, sections (byte ranges in the UTF-8 text), package, file and sha256.

The manifest carries the version of every package and the SHA-256 of every
text. Another version is a warning: figures will differ. The same versions with
another text are an error, exit status 1. --choose selects the documents anew
and rewrites the manifest.

Needs Debian's apt, dpkg and mandoc.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import extract

MAX_CHARACTERS = 14000
# Where the documents of each collection come from: package, format, pattern
# of the files' paths below the package's root.
SOURCES = {
    "pages": [
        ("git-man", "man", "usr/share/man/man[1-8]/*.gz"),
        ("manpages", "man", "usr/share/man/man[1-8]/*.gz"),
        ("manpages-dev", "man", "usr/share/man/man[1-8]/*.gz"),
    ],
    "manuals": [
        ("apache2-doc", "html",
         "usr/share/doc/apache2-doc/manual/en/**/*.html"),
        ("perl-doc", "pod", "usr/share/perl/*/pod/perl*.pod"),
        ("postgresql-doc-15", "html",
         "usr/share/doc/postgresql-doc-15/html/*.html"),
    ],
}
PAGES_WANTED = 150
MANUALS_WANTED = {"apache2-doc": 12, "perl-doc": 45, "postgresql-doc-15": 12}
# Characters: of text that is one chunk or more below its heading.
BELOW_HEADING = 500
MIN_FAR = 7000
# Lists rather than prose (release notes, indexes, tables of keywords), and the
# one page below en/ that is not in English.
NOT_PROSE = re.compile(
    r"delta\.pod|perl(toc|api|intern|uniprops|glossary|hist|func)\.pod"
    r"|release-|bookindex|glossary|keywords|appendix|/(index|directives|"
    r"quickreference)\.html|biblio|errcodes|features|en/install\.html")


def say(text):
    print(f"make_corpus: {text}", file=sys.stderr)


def tool_version(package):
    """The installed version of a Debian package, or an empty string."""
    result = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                            capture_output=True, text=True, check=False)
    return result.stdout.strip()


def unpack(package, cache):
    """Returns (root of the unpacked package, its version)."""
    root = cache / "packages" / package
    marker = cache / "packages" / f"{package}.version"
    if not marker.exists():
        debs = cache / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        for old in debs.glob(f"{package}_*.deb"):
            old.unlink()
        # As root, apt would like to download as another user, who may not
        # write here, and warns of it.
        subprocess.run(["apt-get", "download", "-q", "-o",
                        "APT::Sandbox::User=root", package], cwd=debs,
                       check=True, stdout=subprocess.DEVNULL)
        (deb,) = debs.glob(f"{package}_*.deb")
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True,
                                 capture_output=True, text=True).stdout.strip()
        marker.write_text(version)
    return root, marker.read_text()


def read_raw(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else (
        path.read_bytes())


def make_record(collection, package, name, document):
    """Joins a document's blocks and notes where its sections stand."""
    parts = [document.title, "\n\n"]
    size = len(document.title.encode()) + 2
    sections = []
    for kind, text in document.blocks:
        if kind == "heading":
            sections.append({"heading": text, "begin": size,
                             "body": size + len(text.encode()) + 2})
        parts += [text, "\n\n"]
        size += len(text.encode()) + 2
    # A collection of plain pages is one block, whose end stays as it is.
    whole = "".join(parts)
    if len(document.blocks) == 1:
        whole = whole.removesuffix("\n\n")
    text = whole[:MAX_CHARACTERS]
    end = len(text.encode())
    return {
        "id": f"{package}/{name}",
        "collection": collection,
        "title": document.title,
        "topic": document.topic,
        "text": text,
        "sections": [s for s in sections if s["body"] < end],
        "package": package,
        "file": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "characters": len(whole),
    }


def read_document(collection, package, kind, root, name):
    """The record of one file, or None if the file is not a document."""
    document = extract.FORMATS[kind](read_raw(root / name))
    return document and make_record(collection, package, name, document)


def choose_pages(roots):
    """As the published experiment: a seeded sample of the longer pages."""
    files = []
    for package, kind, pattern in SOURCES["pages"]:
        root = roots[package]
        files += [(path.relative_to(root).as_posix(), package, kind)
                  for path in root.glob(pattern) if path.is_file()]
    files.sort()
    random.Random(1).shuffle(files)
    chosen, seen = [], set()
    for name, package, kind in files:
        if len(chosen) == PAGES_WANTED:
            break
        if len(read_raw(roots[package] / name)) < 8000:
            continue
        record = read_document("pages", package, kind, roots[package], name)
        if (record is None or record["sha256"] in seen
                or not 6000 <= record["characters"] <= 40000):
            continue
        seen.add(record["sha256"])
        chosen.append(record)
    return chosen


def far_from_headings(record):
    """Characters of the text that stand well below their heading."""
    starts = [section["body"] for section in record["sections"]]
    ends = [section["begin"] for section in record["sections"][1:]]
    ends.append(len(record["text"].encode()))
    return sum(max(0, end - start - BELOW_HEADING)
               for start, end in zip(starts, ends))


def choose_manuals(roots):
    """From each package a seeded sample of pages with several long sections."""
    chosen = []
    for package, kind, pattern in SOURCES["manuals"]:
        root = roots[package]
        names = sorted(path.relative_to(root).as_posix()
                       for path in root.glob(pattern))
        random.Random(1).shuffle(names)
        found = []
        for name in names:
            if len(found) == MANUALS_WANTED[package]:
                break
            if NOT_PROSE.search(name):
                continue
            record = read_document("manuals", package, kind, root, name)
            if (record and record["characters"] >= 10000
                    and len(record["sections"]) >= 4
                    and far_from_headings(record) >= MIN_FAR):
                found.append(record)
        chosen += found
    return chosen


def choose(roots):
    return choose_pages(roots) + choose_manuals(roots)


def read_listed(manifest, roots):
    """The manifest's documents; those that are gone are warned about."""
    kinds = {package: kind for sources in SOURCES.values()
             for package, kind, _ in sources}
    records = []
    for entry in manifest["documents"]:
        package, name = entry["package"], entry["file"]
        record = None
        if (roots[package] / name).is_file():
            record = read_document(entry["collection"], package,
                                   kinds[package], roots[package], name)
        if record is None:
            say(f"{package} has no document {name}: left out")
            continue
        records.append(record)
    return records


def check(manifest, versions, records):
    """Warns about other versions; returns whether the texts may stand."""
    others = [f"{name} {versions[name]} instead of {version}"
              for name, version in manifest["versions"].items()
              if versions[name] != version]
    wanted = {(d["package"], d["file"]): d["sha256"]
              for d in manifest["documents"]}
    changed = [r["id"] for r in records
               if wanted[r["package"], r["file"]] != r["sha256"]]
    for other in others:
        say(f"warning: {other}")
    if changed or len(records) != len(wanted):
        say(f"{len(changed)} texts differ from the manifest"
            + (f", such as {changed[0]}" if changed else ""))
        if not others:
            return False
        say("warning: figures will differ from those published")
    return True


def write_manifest(path, versions, records):
    keys = ("collection", "package", "file", "sha256")
    lines = ",\n".join(
        "  " + json.dumps({key: record[key] for key in keys})
        for record in records)
    path.write_text('{\n "versions": ' + json.dumps(versions) +
                    ',\n "documents": [\n' + lines + "\n ]\n}\n")


def write_corpus(path, records):
    temporary = path.with_suffix(".part")
    with temporary.open("w", encoding="utf-8") as out:
        for record in records:
            record = {k: v for k, v in record.items() if k != "characters"}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    temporary.rename(path)


def main():
    here = pathlib.Path(__file__).resolve().parent
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME",
                                       pathlib.Path.home() / ".cache"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=pathlib.Path,
                        default=home / "longhand-quality")
    parser.add_argument("--manifest", type=pathlib.Path,
                        default=here / "manifest.json")
    parser.add_argument("--choose", action="store_true",
                        help="select documents anew and write the manifest")
    arguments = parser.parse_args()
    versions = {"mandoc": tool_version("mandoc")}
    if not versions["mandoc"]:
        say("mandoc is not installed: apt-get install mandoc")
        return 1
    roots = {}
    for sources in SOURCES.values():
        for package, _, _ in sources:
            try:
                roots[package], versions[package] = unpack(package,
                                                           arguments.cache)
            except subprocess.CalledProcessError as error:
                say(f"{package}: {error}; apt-get update may help")
                return 1
    if arguments.choose:
        records = choose(roots)
        write_manifest(arguments.manifest, versions, records)
    else:
        manifest = json.loads(arguments.manifest.read_text())
        records = read_listed(manifest, roots)
        if not check(manifest, versions, records):
            return 1
    write_corpus(arguments.cache / "corpus.jsonl", records)
    say(f"{len(records)} documents in {arguments.cache / 'corpus.jsonl'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
