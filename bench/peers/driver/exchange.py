"""The files of ../token_documents.h, with nothing but the standard library."""

import array
import itertools
import sys


def format_documents(documents):
    """The bytes for a list of lists of token ids."""
    ends = itertools.accumulate(len(ids) for ids in documents)
    header = array.array("q", [len(documents), *ends])
    body = array.array("i", itertools.chain.from_iterable(documents))
    return _little_endian(header) + _little_endian(body)


def parse_documents(content):
    """The inverse of format_documents."""
    count = int.from_bytes(content[:8], "little")
    ends, ids = array.array("q"), array.array("i")
    ends.frombytes(content[8:8 * (1 + count)])
    ids.frombytes(content[8 * (1 + count):])
    _swap_if_needed(ends)
    _swap_if_needed(ids)
    begins = [0, *ends]
    return [ids[begin:end].tolist() for begin, end in zip(begins, ends)]


def parse_vectors(content, size):
    """A list of lists of `size` numbers each."""
    numbers = array.array("f")
    numbers.frombytes(content)
    _swap_if_needed(numbers)
    return [numbers[i:i + size].tolist()
            for i in range(0, len(numbers), size)]


def _swap_if_needed(numbers):
    if sys.byteorder == "big":
        numbers.byteswap()


def _little_endian(numbers):
    _swap_if_needed(numbers)
    return numbers.tobytes()
