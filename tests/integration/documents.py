"""The long document that ctest names, and ways to cut it."""

import math
import os
import pathlib


def read_document(min_bytes):
    """The bytes of a real text of at least `min_bytes`, valid UTF-8."""
    path = pathlib.Path(os.environ.get("LONGHAND_LONG_DOCUMENT")
                        or os.environ["INTEGRATION_DOCUMENT"])
    if not path.is_file():
        raise AssertionError(
            f"{path} is missing: run tools/setup, or name a text with the "
            "environment variable LONGHAND_LONG_DOCUMENT")
    document = path.read_bytes()
    document.decode()
    if len(document) < min_bytes:
        raise AssertionError(f"{path} has less than {min_bytes} bytes")
    return document


def beginning(document, size):
    """At most the first `size` bytes, cut between characters."""
    return document[:size].decode(errors="ignore").encode()


def random_pieces(text, rng, longest):
    """Cuts `text` anywhere. Small pieces are as likely as large ones."""
    pieces = []
    while text:
        size = int(math.exp(rng.uniform(0, math.log(longest + 1))))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def inside_characters(pieces):
    """How many cuts are inside a UTF-8 sequence."""
    return sum(piece[0] & 0xC0 == 0x80 for piece in pieces)
