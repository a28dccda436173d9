"""ONNX Runtime with the graphs that export.py wrote, all its optimisations on:
the graph as PyTorch exports it, and one with fused attention."""

import onnxruntime

from batches import batch_sizes
from candidate import Candidate, describe

GRAPHS = ("plain", "fused")


def open_session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"])


class OnnxCandidate(Candidate):
    def __init__(self, name, batch, streams, sessions):
        self._sessions = sessions  # without and, if needed, with a mask
        super().__init__(name, batch, streams)

    def compute(self, ids, mask):
        inputs = {"ids": ids} if mask is None else {"ids": ids, "mask": mask}
        return self._sessions[mask is not None].run(None, inputs)[0]


class Backend:
    def __init__(self, arguments):
        self.version = (f"ONNX Runtime {onnxruntime.__version__} "
                        f"{arguments.precision}")
        self._threads = arguments.threads
        self._folder = arguments.exports
        self._suffix = "-int8" if arguments.precision == "int8" else ""

    def _sessions(self, graph, threads, masked):
        names = [graph, f"{graph}-masked"] if masked else [graph]
        return [open_session(self._folder / f"{name}{self._suffix}.onnx",
                             threads) for name in names]

    def candidates(self, documents, _):
        padded = len({len(ids) for ids in documents}) > 1
        result = []
        for graph in GRAPHS:
            for batch, streams in batch_sizes(len(documents), self._threads):
                way = describe(batch, streams, self._threads)
                threads = self._threads if streams == 1 else 1
                sessions = self._sessions(graph, threads, padded and batch > 1)
                result.append(OnnxCandidate(f"{graph} graph, {way}", batch,
                                            streams, sessions))
        return result
