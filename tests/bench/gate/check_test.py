"""The performance gate passes, fails, skips and records when it should.

Valgrind and the program are played by a script that gives the counts of a file.
"""

import contextlib
import io
import json
import pathlib
import struct
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench/gate"))

import check  # pylint: disable=wrong-import-position
import cut_model  # pylint: disable=wrong-import-position

ONE, TWO = "gcc 1", "gcc 1, rustc 1"
WORKS = {"chunk": ONE, "pool": ONE, "tokenize": TWO}
COUNTS = {"chunk": 1_000_000, "pool": 5_000, "tokenize": 70_000}

# Called as `VALGRIND ... PROGRAM ...` it finds what the program should do.
FAKE = """#!{python}
import json, pathlib, sys
play = json.loads(pathlib.Path({play!r}).read_text())
arguments = sys.argv[1:]
if "--list" in arguments:
    print(json.dumps({{"can_count": play["can_count"], "works": play["works"]}}))
    sys.exit()
work = arguments[arguments.index("--work") + 1]
if work == play.get("breaks"):
    sys.exit("it broke")
assert "--instr-atstart=no" in arguments, arguments
assert (pathlib.Path(arguments[arguments.index("--model") + 1])
        / "model.safetensors").exists()
(out,) = (a.split("=")[1] for a in arguments if a.startswith("--callgrind-out"))
count = play["counts"].get(work)
totals = "" if count is None else f"totals: {{count}}\\n"
pathlib.Path(out).write_text("events: Ir\\nsummary: 0\\n" + totals)
"""


def write_checkpoint(directory, layers, vocabulary, columns):
    """A checkpoint with the names of BERT whose row r is full of r."""
    tensors = {"embeddings.position_ids": ([1, 2], struct.pack("<2f", 0, 1)),
               "pooler.dense.bias": ([1], struct.pack("<f", 7))}
    rows = [struct.pack(f"<{columns}f", *[r] * columns) for r in range(vocabulary)]
    tensors["embeddings.word_embeddings.weight"] = (
        [vocabulary, columns], b"".join(rows))
    for layer in range(layers):
        tensors[f"encoder.layer.{layer}.bias"] = ([1], struct.pack("<f", layer))
    cut_model.write(directory / "model.safetensors", tensors)
    (directory / "config.json").write_text(json.dumps(
        {"num_hidden_layers": layers, "vocab_size": vocabulary, "kept": 1}))


class GateTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model = self.folder / "model"
        self.model.mkdir()
        write_checkpoint(self.model, layers=2, vocabulary=5000, columns=2)
        self.play = {"can_count": True, "works": WORKS, "counts": dict(COUNTS)}
        self.baseline = self.folder / "baseline.json"
        self.fake = self.folder / "fake"
        self.fake.write_text(FAKE.format(
            python=sys.executable, play=str(self.folder / "play.json")))
        self.fake.chmod(0o755)

    def write_baseline(self, **factors):
        """As COUNTS, each times its factor."""
        counts = {work: round(count * factors.get(work, 1))
                  for work, count in COUNTS.items()}
        tokenize = counts.pop("tokenize")
        self.baseline.write_text(
            json.dumps({ONE: counts, TWO: {"tokenize": tokenize}}))

    def check(self, *options):
        """Returns the exit status and all that was printed."""
        (self.folder / "play.json").write_text(json.dumps(self.play))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), \
                contextlib.redirect_stderr(printed):
            status = check.main([
                "--program", str(self.fake), "--valgrind", str(self.fake),
                "--model", str(self.model), "--baseline", str(self.baseline),
                *options])
        return status, printed.getvalue()

    def test_equal_counts_pass(self):
        self.write_baseline()
        status, printed = self.check()
        self.assertEqual(status, 0, printed)
        for work in COUNTS:
            self.assertRegex(printed, rf"{work} .* 1\.0000  ok")

    def test_small_differences_pass(self):
        for factor in (1 / 1.019, 1 / 0.981):
            self.write_baseline(chunk=factor)
            self.assertEqual(self.check()[0], 0, factor)

    def test_a_regression_fails(self):
        for factor in (0.9, 1 / 1.021):
            self.write_baseline(pool=factor)
            status, printed = self.check()
            self.assertEqual(status, 1, factor)
            self.assertRegex(printed, r"pool .* 1\.\d+  REGRESSION")
            self.assertRegex(printed, r"chunk .* ok")
            self.assertIn("make it cheaper", printed)
            self.assertNotIn("must be recorded", printed)

    def test_a_gain_fails_until_it_is_recorded(self):
        for factor in (1.1, 1 / 0.979):
            self.write_baseline(tokenize=factor)
            status, printed = self.check()
            self.assertEqual(status, 1, factor)
            self.assertRegex(printed, r"tokenize .* 0\.\d+  GAIN")
            self.assertIn("the gain must be recorded", printed)
            self.assertIn("--record", printed)
            self.assertNotIn("make it cheaper", printed)
        self.assertEqual(self.check("--record")[0], 0)
        self.assertEqual(self.check()[0], 0)

    def test_a_new_work_fails_until_it_is_recorded(self):
        self.write_baseline()
        self.play["works"] = WORKS | {"bsbr": ONE}
        self.play["counts"]["bsbr"] = 9
        status, printed = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(printed, r"bsbr .* NEW")
        self.check("--record", "--work", "bsbr")
        self.assertEqual(self.check()[0], 0)

    def test_record_keeps_what_it_does_not_count(self):
        self.write_baseline(chunk=2)
        before = json.loads(self.baseline.read_text())
        before["gcc 2"] = {"chunk": 3, "gone": 4}
        before[ONE]["gone"] = 5
        self.baseline.write_text(json.dumps(before))
        self.play["counts"]["pool"] = 6_000
        self.assertEqual(self.check("--record", "--work", "pool")[0], 0)
        self.assertEqual(json.loads(self.baseline.read_text()), {
            ONE: {"chunk": 2_000_000, "pool": 6_000},
            TWO: {"tokenize": 70_000},
            "gcc 2": {"chunk": 3}})

    def test_another_toolchain_is_skipped_in_words(self):
        self.write_baseline()
        self.play["works"] = {work: "clang 9" for work in WORKS}
        status, printed = self.check()
        self.assertEqual(status, 77)
        self.assertIn("skipped: no counts of this toolchain", printed)
        self.assertIn("clang 9", printed)

    def test_another_rust_skips_its_works_alone(self):
        self.write_baseline(tokenize=0.5)
        self.play["works"] = WORKS | {"tokenize": "gcc 1, rustc 2"}
        status, printed = self.check()
        self.assertEqual(status, 0)
        self.assertIn("not compared: tokenize; no counts", printed)
        self.write_baseline(chunk=0.5)
        self.assertEqual(self.check()[0], 1)

    def test_no_baseline_and_no_valgrind_are_skipped_in_words(self):
        self.assertEqual(self.check()[0], 77)
        self.write_baseline()
        status, printed = self.check("--valgrind", "no-such-valgrind")
        self.assertEqual(status, 77)
        self.assertIn("no-such-valgrind is not installed", printed)
        self.play["can_count"] = False
        status, printed = self.check()
        self.assertEqual(status, 77)
        self.assertIn("without valgrind's headers", printed)

    def test_what_breaks_is_no_pass(self):
        self.write_baseline()
        status, printed = self.check("--work", "nothing")
        self.assertEqual(status, 2)
        self.assertIn("use one of: chunk, pool, tokenize", printed)
        self.play["breaks"] = "pool"
        status, printed = self.check()
        self.assertEqual(status, 2)
        self.assertIn("it broke", printed)
        del self.play["breaks"]
        del self.play["counts"]["pool"]
        status, printed = self.check()
        self.assertEqual(status, 2)
        self.assertIn("pool: callgrind counted nothing", printed)
        self.baseline.write_text("{")
        self.assertEqual(self.check()[0], 2)

    def test_the_model_is_cut_to_its_first_layer(self):
        target = self.folder / "cut"
        target.mkdir()
        cut_model.cut_model(self.model, target)
        config = json.loads((target / "config.json").read_text())
        self.assertEqual(config, {"num_hidden_layers": 1, "kept": 1,
                                  "vocab_size": cut_model.VOCABULARY})
        cut = cut_model.Checkpoint(target / "model.safetensors")
        words = "embeddings.word_embeddings.weight"
        self.assertEqual(set(cut.names()), {words, "encoder.layer.0.bias"})
        self.assertEqual(cut.shape(words), [cut_model.VOCABULARY, 2])
        last = struct.unpack("<2f", cut.data(words)[-8:])
        self.assertEqual(last, (cut_model.VOCABULARY - 1,) * 2)


class BaselineTest(unittest.TestCase):

    def test_the_baseline_has_positive_counts_by_toolchain(self):
        baseline = json.loads((ROOT / "bench/gate/baseline.json").read_text())
        self.assertTrue(baseline)
        for toolchain, counts in baseline.items():
            self.assertIn(" Release, ", toolchain)
            self.assertTrue(counts, toolchain)
            for work, count in counts.items():
                self.assertGreater(count, 0, work)


if __name__ == "__main__":
    unittest.main()
