#!/usr/bin/env python3
"""One peer as a process: reads a JSON command per line from standard input and
answers each with a line of JSON, as longhand_peer does.

  info      {"version"}
  prepare   "documents", "prefix_ids", "suffix_ids", "pad_token_id", "trials":
            warms up; where there are several ways to encode the documents, runs
            each so many times in turn and keeps the one with the fastest run.
            {"setting", "trials": [{"setting", "seconds"}]}
  encode    "documents"; "vectors", "repeats": {"wall_seconds", "cpu_seconds"}
            of one time

Usage: worker.py BACKEND --model DIRECTORY --precision P --threads N
                 [--exports DIRECTORY]
"""

import argparse
import importlib
import json
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

from candidate import Sequences
from exchange import read_documents, write_vectors

BACKENDS = ("torch", "onnxruntime", "openvino", "bsbr")
WARM_UP_TOKENS = 1024


class Worker:
    def __init__(self, backend):
        self._backend = backend
        self._candidate = None
        self._sequences = None

    def handle(self, command):
        name = command.get("command")
        if name not in ("info", "prepare", "encode"):
            raise ValueError(f"there is no command {name}")
        return getattr(self, name)(command)

    def info(self, _):
        return {"version": self._backend.version}

    def prepare(self, command):
        documents = read_documents(pathlib.Path(command["documents"]))
        self._sequences = Sequences(
            command["prefix_ids"], command["suffix_ids"],
            command["pad_token_id"])
        candidates = self._backend.candidates(documents, self._sequences)
        if len(candidates) == 1:
            warm_up = [ids[:WARM_UP_TOKENS] for ids in documents]
            candidates[0].encode(warm_up, self._sequences)
            seconds = [None]
        else:
            seconds = self._try(candidates, documents, command["trials"])
        best = min(range(len(candidates)), key=lambda i: seconds[i] or 0)
        self._candidate = candidates[best]
        for candidate in candidates:
            if candidate is not self._candidate:
                candidate.close()
        return {"setting": self._candidate.name,
                "trials": [{"setting": candidate.name, "seconds": time_}
                           for candidate, time_ in zip(candidates, seconds)]}

    def _try(self, candidates, documents, trials):
        """The shortest time of each candidate."""
        for candidate in candidates:
            candidate.encode(documents, self._sequences)
        times = [[] for _ in candidates]
        for _ in range(trials):
            for candidate, seconds in zip(candidates, times):
                start = time.perf_counter()
                candidate.encode(documents, self._sequences)
                seconds.append(time.perf_counter() - start)
        return [min(seconds) for seconds in times]

    def encode(self, command):
        documents = read_documents(pathlib.Path(command["documents"]))
        repeats = command.get("repeats", 1)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            vectors = self._candidate.encode(documents, self._sequences)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if "vectors" in command:
            write_vectors(pathlib.Path(command["vectors"]), vectors)
        return {"wall_seconds": wall / repeats, "cpu_seconds": cpu / repeats}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--exports", type=pathlib.Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    # Libraries print to standard output what is no answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module = importlib.import_module(f"{arguments.backend}_backend")
    worker = Worker(module.Backend(arguments))
    for line in sys.stdin:
        try:
            answer = worker.handle(json.loads(line))
        except Exception as error:  # whatever the library raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
