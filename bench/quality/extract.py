"""Plain text of documents in the formats that Debian's documentation has.

Each function takes the bytes of one file and returns a Document or None if the
file is not a document. Deterministic; no network, no state.
"""

import dataclasses
import html.parser
import re
import subprocess

HEADING_TAG = re.compile(r"h[1-6]$")
BLOCK_TAGS = frozenset(
    "p div li ul ol dl dt dd tr table pre blockquote br hr section".split())
# Void elements have no end tag.
VOID_TAGS = frozenset("br hr img link meta input col area base".split())
SKIPPED_TAGS = frozenset("head script style form button".split())
# Navigation, tables of contents and summaries that list the headings.
SKIPPED_CLASSES = frozenset(
    "navheader navfooter toc up top bottomlang toplang seealso permalink"
    .split())
SKIPPED_IDS = frozenset("page-header quickview path footer".split())
# "5.4.1." in front of a heading.
HEADING_NUMBER = re.compile(r"^(?:chapter )?[A-Z0-9]{1,3}(?:\.\d+)*\.\s+",
                            re.IGNORECASE)
# Titles of boxes inside a section.
BOX_TITLES = frozenset("Note Note: Tip Caution Warning Important".split())
POD_ESCAPES = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}


@dataclasses.dataclass
class Document:
    title: str
    topic: str  # what a query calls the document
    # ("heading", text) and ("text", text), in order; the title is not among
    # them.
    blocks: list


def squeeze(text):
    """One line, single spaces."""
    return re.sub(r"\s+", " ", text).strip()


def topic_of(title):
    """What stands behind the last dash of `NAME - what it is`."""
    return title.split(" - ")[-1][:120]


def manual_page(raw):
    """A man page (roff source) through mandoc; None without a NAME section."""
    if raw.startswith(b".so"):
        return None
    result = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200"], input=raw,
        capture_output=True, check=False)
    text = result.stdout.decode("utf-8", "ignore")
    text = re.sub(".\x08", "", text)
    text = re.sub(r"[ \t]+", " ", text)
    name = re.search(r"\nNAME\n\s*(.+?)\n\n", text, re.S)
    if not name:
        return None
    title = re.sub(r"\s+", " ", name.group(1))
    body = re.sub(r"\n\s*\n+", "\n\n", text[name.end():])
    return Document(title, topic_of(title), [("text", body)])


class _HtmlReader(html.parser.HTMLParser):
    """Collects headings and text blocks, leaving navigation out."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = []
        self._open = []  # (tag, whether it starts a skipped part)
        self._skipping = 0
        self._verbatim = 0
        self._text = []

    def _flush(self, kind):
        text = "".join(self._text)
        self._text = []
        if text.strip() in BOX_TITLES:
            kind = "text"
        if text.strip():
            self.blocks.append((kind, text.strip("\n") if self._verbatim
                                else squeeze(text)))

    def handle_starttag(self, tag, attrs):
        if tag in BLOCK_TAGS or HEADING_TAG.match(tag):
            self._flush("text")
        if tag in VOID_TAGS:
            return
        values = dict(attrs)
        classes = set((values.get("class") or "").split())
        skipped = (tag in SKIPPED_TAGS or classes & SKIPPED_CLASSES
                   or values.get("id") in SKIPPED_IDS)
        self._open.append((tag, bool(skipped)))
        self._skipping += bool(skipped)
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag):
        if tag in BLOCK_TAGS:
            self._flush("text")
        elif HEADING_TAG.match(tag):
            self._flush("heading")
        # Unclosed elements inside end with their parent.
        if tag not in (name for name, _ in self._open):
            return
        while self._open:
            name, skipped = self._open.pop()
            self._skipping -= skipped
            self._verbatim -= name == "pre"
            if name == tag:
                break

    def handle_data(self, data):
        if not self._skipping:
            self._text.append(data)


def html_page(raw):
    """An HTML page whose first heading is its title."""
    reader = _HtmlReader()
    reader.feed(raw.decode("utf-8", "replace"))
    reader.close()
    blocks = [
        (kind, HEADING_NUMBER.sub("", text) if kind == "heading" else text)
        for kind, text in reader.blocks]
    first = next((i for i, (kind, _) in enumerate(blocks) if kind == "heading"),
                 None)
    if first is None:
        return None
    title = blocks[first][1]
    return Document(title, topic_of(title), blocks[first + 1:])


def _pod_inline(text, start=0, closing=None):
    """Resolves formatting codes from `start`; returns (text, end)."""
    out = []
    i = start
    while i < len(text):
        if closing and text.startswith(closing, i):
            return "".join(out), i + len(closing)
        code = re.compile(r"([A-Z])(<+)").match(text, i)
        if not code:
            out.append(text[i])
            i += 1
            continue
        width = len(code.group(2))
        close = ">" if width == 1 else " " + ">" * width
        inner, i = _pod_inline(text, code.end(), close)
        out.append(_pod_code(code.group(1),
                             inner.strip() if width > 1 else inner))
    return "".join(out), i


def _pod_code(letter, inner):
    if letter in "XZ":
        return ""
    if letter == "E":
        return POD_ESCAPES.get(inner, "")
    if letter == "L":
        return inner.split("|")[0].replace("/", " ").replace('"', "").strip()
    return inner


def pod_page(raw):
    """Perl's POD; the paragraph below `=head1 NAME` is the title."""
    blocks = []
    hidden = False
    for paragraph in re.split(r"\n\s*\n", raw.decode("utf-8", "replace")):
        paragraph = paragraph.strip("\n")
        command = re.match(r"=(\w+)\s*(.*)", paragraph, re.S)
        if command and command.group(1) in ("begin", "end"):
            hidden = command.group(1) == "begin"
            continue
        if hidden or not paragraph.strip():
            continue
        if command and command.group(1).startswith("head"):
            heading = _pod_inline(command.group(2))[0]
            blocks.append(("heading", squeeze(heading)))
        elif command and command.group(1) == "item":
            item = re.sub(r"^(\*|\d+\.?)\s*", "", command.group(2))
            blocks.append(("text", squeeze(_pod_inline(item)[0])))
        elif command:
            continue
        elif paragraph[0] in " \t":
            blocks.append(("text", paragraph))
        else:
            blocks.append(("text", squeeze(_pod_inline(paragraph)[0])))
    blocks = [block for block in blocks if block[1]]
    if len(blocks) < 2 or blocks[0] != ("heading", "NAME"):
        return None
    title = blocks[1][1]
    return Document(title, topic_of(title), blocks[2:])


FORMATS = {"man": manual_page, "html": html_page, "pod": pod_page}
