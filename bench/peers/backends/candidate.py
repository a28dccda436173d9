"""Candidate: one way for a peer to encode documents, of which a trial takes the
fastest. A backend derives from it and computes single batches."""

import abc
import concurrent.futures
import typing

import numpy

from batches import make_batches


class Sequences(typing.NamedTuple):
    """What the model's tokenizer adds around and after documents."""

    prefix: list
    suffix: list
    pad: int


class Candidate(abc.ABC):
    def __init__(self, name, batch, streams):
        self.name = name
        self._batch = batch
        self._streams = streams
        self._pool = concurrent.futures.ThreadPoolExecutor(
            streams, initializer=self.start_stream)

    def start_stream(self):
        """Called once on every thread that runs batches side by side."""

    @abc.abstractmethod
    def compute(self, ids, mask):
        """Mean-pooled vectors [batch, size] of ids [batch, rows], int64. mask:
        of the same shape, 1 for tokens; None if nothing is padding."""

    def encode(self, documents, sequences):
        """Vectors [documents, size] in the order of the documents."""
        added = len(sequences.prefix) + len(sequences.suffix)
        lengths = [len(ids) + added for ids in documents]
        batches = make_batches(lengths, self._batch)

        def run(batch):
            rows = [lengths[i] for i in batch]
            ids = numpy.full((len(batch), max(rows)), sequences.pad, "int64")
            for line, i in zip(ids, batch):
                line[:lengths[i]] = numpy.concatenate(
                    [sequences.prefix, documents[i], sequences.suffix])
            mask = None
            if min(rows) < max(rows):
                mask = (numpy.arange(max(rows)) <
                        numpy.array(rows)[:, None]).astype("int64")
            return self.compute(ids, mask)

        if self._streams == 1:
            parts = [run(batch) for batch in batches]
        else:
            parts = list(self._pool.map(run, batches))
        vectors = numpy.empty((len(documents), parts[0].shape[1]), "float32")
        for batch, part in zip(batches, parts):
            vectors[batch] = part
        return vectors

    def close(self):
        self._pool.shutdown()


def describe(batch, streams, threads):
    """The part of a candidate's name that all backends have."""
    if streams == 1:
        return f"batch {batch}, {threads} threads"
    return f"batch {batch}, {streams} streams"
