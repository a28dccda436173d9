"""The Python package `bsbr`: its transformer on the checkpoint that
make_bsbr.py wrote. A document is one sequence; vectors are means over the
chunks."""

import importlib.metadata
import json

import bsbr
import numpy
import torch

VERSION = f"bsbr {importlib.metadata.version('bsbr')}"


class BsbrCandidate:
    name = "one sequence"

    def __init__(self, model, chunk_size, threads):
        self._model = model
        self._chunk_size = chunk_size
        torch.set_num_threads(threads)

    def encode(self, documents, _):
        vectors = []
        for ids in documents:
            sequence = torch.from_numpy(ids.astype("int64"))[None]
            with torch.inference_mode():
                hidden = self._model(sequence)
                vectors += [chunk.mean(0).numpy() for chunk in
                            hidden[0].split(self._chunk_size)]
        return numpy.stack(vectors)

    def close(self):
        pass


class Backend:
    def __init__(self, arguments):
        self.version = f"{VERSION} {arguments.precision}"
        sizes = json.loads((arguments.model / "sizes.json").read_text())
        self._model = bsbr.BSBRModel(**sizes).eval()
        self._model.load_state_dict(
            torch.load(arguments.model / "bsbr.pt", weights_only=True))
        self._chunk_size = sizes["chunk_size"]
        self._threads = arguments.threads

    def candidates(self, *_):
        return [BsbrCandidate(self._model, self._chunk_size, self._threads)]
