"""OpenVINO's CPU plugin with the graphs that export.py wrote: LATENCY with all
threads on one batch, THROUGHPUT with a stream for each thread."""

import queue

import openvino

from batches import batch_sizes
from candidate import Candidate, describe

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoCandidate(Candidate):
    def __init__(self, name, batch, streams, models):
        self._requests = []  # without and, if needed, with a mask
        for model in models:
            idle = queue.SimpleQueue()
            for _ in range(streams):
                idle.put(model.create_infer_request())
            self._requests.append(idle)
        super().__init__(name, batch, streams)

    def compute(self, ids, mask):
        idle = self._requests[mask is not None]
        request = idle.get()
        try:
            inputs = [ids] if mask is None else [ids, mask]
            return request.infer(inputs, share_inputs=True)[0].copy()
        finally:
            idle.put(request)


class Backend:
    def __init__(self, arguments):
        version = openvino.__version__.partition("-")[0]
        self.version = f"OpenVINO {version} {arguments.precision}"
        self._threads = arguments.threads
        self._folder = arguments.exports
        self._hint = HINTS[arguments.precision]
        self._core = openvino.Core()

    def _compile(self, name, streams, shape):
        model = self._core.read_model(self._folder / f"{name}.xml")
        if shape is not None:
            model.reshape({port: list(shape) for port in model.inputs})
        properties = {"INFERENCE_PRECISION_HINT": self._hint,
                      "INFERENCE_NUM_THREADS": self._threads,
                      "PERFORMANCE_HINT": "LATENCY"}
        if streams > 1:
            properties |= {"PERFORMANCE_HINT": "THROUGHPUT",
                           "NUM_STREAMS": streams}
        return self._core.compile_model(model, "CPU", properties)

    def candidates(self, documents, sequences):
        lengths = {len(ids) for ids in documents}
        rows = max(lengths) + len(sequences.prefix) + len(sequences.suffix)
        result = []
        for batch, streams in batch_sizes(len(documents), self._threads):
            # Batches that are all of one shape get a graph for that shape.
            same = len(lengths) == 1 and len(documents) % batch == 0
            shape = (batch, rows) if same else None
            names = ["openvino"]
            if len(lengths) > 1 and batch > 1:
                names.append("openvino-masked")
            models = [self._compile(name, streams, shape) for name in names]
            hint = "LATENCY" if streams == 1 else "THROUGHPUT"
            name = f"{hint}, {describe(batch, streams, self._threads)}"
            result.append(OpenVinoCandidate(name, batch, streams, models))
        return result
