"""Bench: what all workloads share: the programs, the models, the documents."""

import hashlib
import pathlib
import random
import sys

from driver import exchange
from driver.processes import Worker, WorkerError, run_to_end

FOLDER = pathlib.Path(__file__).resolve().parents[1]
BACKENDS = FOLDER / "backends"
CONVERTER = FOLDER.parents[1] / "tools" / "convert_bsbr.py"
SEED = 1


def progress(text):
    print(text, file=sys.stderr, flush=True)


def document_lengths(plan):
    """Tokens of each document, special ones not counted, for `rows` [least,
    most] with two of them."""
    least, most = plan["rows"]
    generator = random.Random(SEED)
    return [generator.randint(least, most) - 2
            for _ in range(plan["documents"])]


class Bench:
    def __init__(self, arguments, scratch):
        self.rounds = arguments.rounds
        self.threads = arguments.threads
        self.cpus = sorted(arguments.cpus)[:arguments.threads]
        self.precisions = arguments.precisions
        self.server = arguments.server
        self.model = arguments.model
        self.memory = []
        self._arguments = arguments
        self._scratch = scratch
        self._text_ids = None
        self._export_error = None

    def lengths(self, plan):
        """(tokens, rounds) of each length that is wanted."""
        wanted = [length for length in plan["lengths"]
                  if self._arguments.long or not length.get("long", False)]
        return [(length["tokens"], min(self.rounds, length["most_rounds"]))
                for length in wanted
                if length["tokens"] <= self._arguments.most_tokens]

    def ours(self, precision="fp32", model=None):
        """A running longhand_peer."""
        command = [self._arguments.program, "--model", model or self.model,
                   "--precision", precision, "--workers", self.threads]
        if model is not None:
            command.append("--without-tokenizer")
        return Worker("longhand_peer", command, self.cpus)

    def peer(self, backend, precision="fp32", model=None):
        """A running backends/worker.py."""
        command = [self._arguments.python, BACKENDS / "worker.py", backend,
                   "--model", model or self.model, "--precision", precision,
                   "--threads", self.threads]
        if backend in ("onnxruntime", "openvino"):
            command += ["--exports", self._exports()]
        return Worker(f"{backend} {precision}", command, self.cpus)

    def bsbr_checkpoint(self, sizes):
        """(directory for the package, model directory for us): one checkpoint
        with random weights."""
        package = self._scratch / "bsbr"
        converted = package / "converted"
        if not converted.exists():
            progress("making a checkpoint of the package bsbr")
            words = [f"{name}={value}" for name, value in sizes.items()]
            run_to_end([self._arguments.python, BACKENDS / "make_bsbr.py",
                        package, *words], self.cpus)
            run_to_end([self._arguments.python, CONVERTER, package / "bsbr.pt",
                        "--heads", sizes["num_heads"], "--chunk-size",
                        sizes["chunk_size"], "--out", converted], self.cpus)
        return package, converted

    def documents(self, lengths):
        """A file of documents of so many tokens each, consecutive ones of the
        text, which is repeated without end."""
        name = hashlib.sha256(repr(lengths).encode()).hexdigest()[:16]
        path = self._scratch / f"documents-{name}"
        if not path.exists():
            text = self._ids()
            position, documents = 0, []
            for length in lengths:
                ids = []
                while len(ids) < length:
                    piece = text[position:position + length - len(ids)]
                    ids += piece
                    position = (position + len(piece)) % len(text)
                documents.append(ids)
            path.write_bytes(exchange.format_documents(documents))
        return path

    def vectors_file(self, name):
        return self._scratch / f"vectors-{name}"

    def _ids(self):
        if self._text_ids is None:
            path = self._scratch / "text"
            with self.ours() as worker:
                worker.ask("tokenize", text=self._arguments.text,
                           documents=path)
            self._text_ids = exchange.parse_documents(path.read_bytes())[0]
        return self._text_ids

    def _exports(self):
        """The graphs of the model, made again if the model or the maker has
        changed."""
        folder = self._arguments.exports or self._scratch / "exports"
        digest = hashlib.sha256()
        for path in (self.model / "model.safetensors",
                     self.model / "config.json", BACKENDS / "export.py",
                     BACKENDS / "torch_backend.py",
                     FOLDER / "requirements.txt"):
            digest.update(path.read_bytes())
        stamp = folder / "stamp"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return folder
        if self._export_error is not None:
            raise self._export_error
        progress("exporting the model for ONNX Runtime and OpenVINO")
        stamp.unlink(missing_ok=True)
        try:
            run_to_end([self._arguments.python, BACKENDS / "export.py",
                        self.model, folder], self.cpus)
        except WorkerError as error:
            self._export_error = error
            raise
        stamp.write_text(digest.hexdigest())
        return folder
