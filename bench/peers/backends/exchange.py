"""The files of ../token_documents.h, for programs that have numpy."""

import numpy


def read_documents(path):
    """A list of int32 arrays."""
    content = path.read_bytes()
    count = int(numpy.frombuffer(content, "<i8", 1)[0])
    ends = numpy.frombuffer(content, "<i8", count, 8)
    ids = numpy.frombuffer(content, "<i4", -1, 8 * (1 + count))
    if count == 0 or len(ids) != ends[-1]:
        raise ValueError(f"{path} does not hold the documents it announces")
    return numpy.split(ids, ends[:-1])


def write_vectors(path, vectors):
    path.write_bytes(numpy.ascontiguousarray(vectors, "<f4").tobytes())
