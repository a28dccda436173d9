"""The converter of `bsbr` weights: sizes, names, bytes, and what it refuses."""

import contextlib
import io
import json
import math
import pathlib
import random
import struct
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import convert_bsbr  # pylint: disable=wrong-import-position

HIDDEN, HEADS, INNER, VOCAB, LAYERS = 12, 3, 10, 7, 2


def pack(dtype, numbers):
    """Numbers as safetensors stores them."""
    if dtype == "BF16":
        return b"".join(struct.pack("<f", n)[2:] for n in numbers)
    code = {"F64": "d", "F32": "f", "F16": "e"}[dtype]
    return struct.pack(f"<{len(numbers)}{code}", *numbers)


def sinusoids(rows):
    return [math.cos(p * 1e4 ** (-(i - 1) / HIDDEN)) if i % 2
            else math.sin(p * 1e4 ** (-i / HIDDEN))
            for p in range(rows) for i in range(HIDDEN)]


def state_dict(compressed=None, dtype="F32", positions=50):
    """{name: (dtype, shape, data)} of a random BSBRModel."""
    shapes = {"embedding.weight": [VOCAB, HIDDEN],
              "layer_norm.weight": [HIDDEN], "layer_norm.bias": [HIDDEN]}
    for layer in range(LAYERS):
        linears = {f"attention.{part}_proj": (HIDDEN, HIDDEN)
                   for part in ("q", "k", "v", "out", "meta_r", "meta_h")}
        linears["ff.0"] = (INNER, HIDDEN)
        linears["ff.3"] = (HIDDEN, INNER)
        if compressed:
            state = (HIDDEN // HEADS) ** 2
            linears["attention.compress_proj"] = (compressed, state)
            linears["attention.decompress_proj"] = (state, compressed)
        for name, (outputs, inputs) in linears.items():
            shapes[f"layers.{layer}.{name}.weight"] = [outputs, inputs]
            shapes[f"layers.{layer}.{name}.bias"] = [outputs]
        for norm in ("layer_norm1", "layer_norm2"):
            shapes[f"layers.{layer}.{norm}.weight"] = [HIDDEN]
            shapes[f"layers.{layer}.{norm}.bias"] = [HIDDEN]
    source = random.Random(1)
    tensors = {
        name: (dtype, shape, pack(dtype, [source.gauss(0, 1) for _ in
                                          range(math.prod(shape))]))
        for name, shape in shapes.items()}
    if positions:
        tensors["pos_encoding.pe"] = (
            dtype, [1, positions, HIDDEN], pack(dtype, sinusoids(positions)))
    return tensors


def write(path, tensors):
    """A safetensors file, in the order of the dictionary."""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read(path):
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__")
    data = content[8 + length:]
    return {name: (entry["dtype"], entry["shape"],
                   data[slice(*entry["data_offsets"])])
            for name, entry in header.items()}


class ConvertBsbrTest(unittest.TestCase):

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.file = self.root / "weights.safetensors"
        self.out = self.root / "model"

    def run_converter(self, *more, heads=HEADS, file=None):
        """Exit code and what was said on stderr."""
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), \
                contextlib.redirect_stdout(io.StringIO()):
            code = convert_bsbr.main(
                [str(file or self.file), "--out", str(self.out), "--heads",
                 str(heads), "--chunk-size", "16", *more])
        return code, stderr.getvalue()

    def check_refused(self, what, **options):
        code, said = self.run_converter(**options)
        self.assertEqual(code, 1, what)
        self.assertIn(what, said)
        self.assertFalse((self.out / "config.json").exists())

    def test_converts(self):
        for dtype in ("F32", "F16", "BF16", "F64"):
            with self.subTest(dtype):
                tensors = state_dict(dtype=dtype)
                write(self.file, tensors)
                self.out = self.root / dtype
                self.assertEqual(self.run_converter(), (0, ""))
                self.assertEqual(
                    json.loads((self.out / "config.json").read_text()),
                    {"model_type": "bsbr", "vocab_size": VOCAB,
                     "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
                     "num_attention_heads": HEADS, "chunk_size": 16,
                     "intermediate_size": INNER, "compression_factor": None})
                # All there, bit by bit; positions are the server's.
                del tensors["pos_encoding.pe"]
                self.assertEqual(read(self.out / "model.safetensors"), tensors)

    def test_finds_the_compression(self):
        # 12 // 5 = 2: the package rounds down.
        for compressed, factor in ((12, 1), (6, 2), (2, 6), (1, 12)):
            with self.subTest(compressed):
                write(self.file, state_dict(compressed=compressed))
                self.out = self.root / str(compressed)
                self.assertEqual(self.run_converter(), (0, ""))
                config = json.loads((self.out / "config.json").read_text())
                self.assertEqual(config["compression_factor"], factor)
                self.assertEqual(HIDDEN // factor, compressed)

    def test_copies_the_tokenizer(self):
        write(self.file, state_dict(positions=None))
        tokenizer = self.root / "t.json"
        tokenizer.write_text("{}\n")
        self.assertEqual(
            self.run_converter("--tokenizer", str(tokenizer)), (0, ""))
        self.assertEqual((self.out / "tokenizer.json").read_text(), "{}\n")

    def test_refuses_other_tensors(self):
        for name, change, what in [
            ("layers.1.attention.meta_r_proj.bias", None, "is missing"),
            ("embedding.weight", None, "embedding.weight is missing"),
            ("classifier.weight", ("F32", [1], b"abcd"),
             "classifier.weight is not part of the model"),
            ("layers.0.ff.3.bias", ("F32", [1], b"abcd"),
             "has the shape [1], expected is [12]"),
            ("layers.3.x", ("F32", [1], b"abcd"), "numbered"),
            ("layers.0.ff.0.weight", ("I32", [1], b"abcd"), "stored as I32"),
            ("layers.0.ff.3.bias", ("F32", [3], b"abcd"), "is broken"),
            ("pos_encoding.pe", ("F32", [1, 1, HIDDEN], bytes(4 * HIDDEN)),
             "position 0, dimension 1"),
            ("pos_encoding.pe", ("F32", [HIDDEN], bytes(4 * HIDDEN)),
             "expected is [1, any, 12]"),
        ]:
            with self.subTest(what):
                tensors = state_dict()
                if change is None:
                    del tensors[name]
                else:
                    tensors[name] = change
                write(self.file, tensors)
                self.check_refused(what)

    def test_refuses_heads_that_do_not_fit(self):
        write(self.file, state_dict())
        self.check_refused("multiple of 5 heads", heads=5)
        write(self.file, state_dict(compressed=6))
        self.check_refused("was made with 3 heads", heads=4)
        # A factor of 1 gives 12 numbers, one of 2 gives 6.
        write(self.file, state_dict(compressed=7))
        self.check_refused("no compression factor")

    def test_refuses_broken_files(self):
        write(self.file, state_dict())
        whole = self.file.read_bytes()
        for content, what in [
            (b"", "too short"), (whole[:100], "longer than the file"),
            (whole[:-10], "is broken"),
            (struct.pack("<Q", 2) + b"[]", "not that of a safetensors file"),
            (struct.pack("<Q", 2) + b"{}", "embedding.weight is missing"),
        ]:
            with self.subTest(what):
                self.file.write_bytes(content)
                self.check_refused(what)
        self.check_refused("does not exist", file=self.root / "none")

    def test_overwrites_nothing(self):
        write(self.file, state_dict())
        self.out.mkdir()
        (self.out / "model.safetensors").write_text("mine")
        self.check_refused("exists")
        self.assertEqual((self.out / "model.safetensors").read_text(), "mine")

    def test_says_when_torch_is_needed(self):
        path = self.root / "weights.pt"
        path.write_bytes(b"x")
        with mock.patch.dict(sys.modules, {"torch": None}):
            self.check_refused("can only be read with torch", file=path)

    def test_reads_what_torch_saves(self):
        try:
            import torch  # pylint: disable=import-outside-toplevel
        except ImportError:
            self.skipTest("torch is not installed")
        tensors = state_dict()
        path = self.root / "weights.pt"
        torch.save({"state_dict": {
            name: torch.frombuffer(bytearray(data),
                                   dtype=torch.float32).view(shape)
            for name, (_, shape, data) in tensors.items()}}, path)
        self.assertEqual(self.run_converter(file=path), (0, ""))
        del tensors["pos_encoding.pe"]
        self.assertEqual(read(self.out / "model.safetensors"), tensors)


if __name__ == "__main__":
    unittest.main()
