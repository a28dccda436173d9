"""What bench/peers/compare.py makes of measurements, and its files."""

import json
import math
import os
import pathlib
import sys
import tempfile
import types
import unittest

PEERS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "peers"
sys.path[:0] = [str(PEERS), str(PEERS / "backends")]

import batches  # pylint: disable=wrong-import-position
import compare  # pylint: disable=wrong-import-position
from driver import (  # pylint: disable=wrong-import-position
    bench, documents, exchange, processes, report)

PLANS = json.loads((PEERS / "workloads.json").read_text())

# A worker that answers {"sum": ...}, fails on "bad" and ends on "end".
WORKER = """
import json, sys
for line in sys.stdin:
    command = json.loads(line)
    if command["command"] == "end":
        sys.exit("the last words")
    answer = ({"error": "no"} if command["command"] == "bad" else
              {"sum": sum(command["numbers"])})
    print(json.dumps(answer), flush=True)
"""


class ExchangeTest(unittest.TestCase):
    def test_documents_have_the_form_of_the_worker(self):
        # peers_test.cc has the same bytes.
        content = bytes([2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                         3, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 8, 0, 0, 0,
                         9, 0, 0, 0])
        self.assertEqual(exchange.format_documents([[263], [8, 9]]), content)
        self.assertEqual(exchange.parse_documents(content), [[263], [8, 9]])

    def test_vectors_are_cut_by_their_size(self):
        content = bytes([0, 0, 128, 63, 0, 0, 0, 64]) * 2
        self.assertEqual(exchange.parse_vectors(content, 2), [[1, 2], [1, 2]])


class BatchesTest(unittest.TestCase):
    def test_every_document_is_in_one_batch_beside_like_ones(self):
        lengths = [5, 900, 7, 30, 6, 31, 8]
        found = batches.make_batches(lengths, 3)
        self.assertEqual(found, [[1, 5, 3], [6, 2, 4], [0]])

    def test_sizes_use_every_thread(self):
        self.assertEqual(batches.batch_sizes(16, 2),
                         [(4, 1), (16, 1), (1, 2), (4, 2)])
        self.assertEqual(batches.batch_sizes(16, 1), [(4, 1), (16, 1)])
        self.assertEqual(batches.batch_sizes(2, 2), [(2, 1), (1, 2)])


class ReportTest(unittest.TestCase):
    def test_cosines(self):
        self.assertAlmostEqual(report.cosine([1, 0], [1, 1]), 0.5 ** 0.5)
        self.assertEqual(report.cosine([0, 0], [1, 1]), 0)
        self.assertEqual(report.cosine([math.nan, 1], [1, 1]), 0)
        self.assertEqual(report.cosine([math.inf, -math.inf], [1, 1]), 0)
        self.assertAlmostEqual(
            report.least_cosine([[1, 0], [1, 0]], [[2, 0], [0, 1]]), 0)
        with self.assertRaises(ValueError):
            report.least_cosine([[1]], [])
        with self.assertRaises(ValueError):
            report.least_cosine([], [])

    def test_a_row_fails_if_its_vectors_do_not_agree(self):
        row = {"ratios": [1.0], "cosine": 0.99, "min_cosine": 0.99}
        self.assertFalse(report.failed(row))
        self.assertTrue(report.failed(row | {"cosine": 0.9899}))
        self.assertTrue(report.failed({"min_cosine": 0.99}))
        self.assertTrue(report.failed(row | {"error": "it ended"}))
        self.assertFalse(report.failed(row | {"min_cosine": None,
                                              "cosine": 0.1}))
        self.assertFalse(report.failed({"note": "no such thing here"}))

    def test_share_of_the_peak(self):
        # 100 rows of 2 GFLOP in 4 s are 50 GFLOP/s.
        self.assertAlmostEqual(report.peak_share(100, 2e9, 4, 80), 0.625)

    def test_rows_that_stand_for_others_keep_their_number(self):
        self.assertEqual(report.peak_rows([256] * 16), [[256, 16]])
        lengths = list(range(16, 401, 5))
        rows = report.peak_rows(lengths)
        self.assertEqual(sum(chunks for _, chunks in rows), len(lengths))
        self.assertEqual(len(rows), 6)
        mean = sum(r * c for r, c in rows) / len(lengths)
        self.assertAlmostEqual(mean / (sum(lengths) / len(lengths)), 1,
                               delta=0.02)

    def test_tables_have_the_median_and_the_spread(self):
        row = {"work": "w", "ours": "fp32", "against": "a|b",
               "ratios": [1.5, 30.0, 2.0], "cosine": 0.5, "min_cosine": 0.9,
               "peak_shares": [0.5, 0.7, 0.9], "error": "went\nwrong"}
        line = report.markdown_table([row]).splitlines()[2]
        self.assertIn("2.00 (1.50 to 30.0)", line)
        self.assertIn("0.50000 (at least 0.9: NO)", line)
        self.assertIn("70 % (50 to 90)", line)
        self.assertIn("a\\|b", line)
        self.assertIn("ERROR: went wrong", line)
        self.assertIn("2.00 (1.50 to 30.0)", report.plain_table([row]))


class WorkloadsTest(unittest.TestCase):
    def test_every_kind_has_a_measure(self):
        for plan in PLANS.values():
            self.assertIn(plan["kind"], compare.MEASURES)

    def test_every_precision_of_documents_has_peers(self):
        for name in ("short", "ragged"):
            self.assertEqual(list(PLANS[name]["peers"]),
                             list(compare.PRECISIONS))

    def test_documents_fit_their_chunks(self):
        for name in ("short", "ragged"):
            plan = PLANS[name]
            lengths = bench.document_lengths(plan)
            self.assertEqual(len(lengths), plan["documents"])
            self.assertEqual(lengths, bench.document_lengths(plan))
            self.assertLessEqual(max(lengths) + 2,
                                 plan["options"]["chunk_tokens"])
            self.assertGreaterEqual(min(lengths) + 2, plan["rows"][0])

    def test_descriptions(self):
        self.assertEqual(documents.describe(PLANS["short"]),
                         "16 x 256 tokens")
        self.assertEqual(documents.describe(PLANS["ragged"]),
                         "64 x 16 to 400 tokens")


class BenchTest(unittest.TestCase):
    def bench(self, scratch, **more):
        arguments = {"rounds": 3, "threads": 1, "cpus": os.sched_getaffinity(0),
                     "precisions": ["fp32"], "server": None, "model": None,
                     "long": False, "most_tokens": 1 << 40} | more
        runner = bench.Bench(types.SimpleNamespace(**arguments),
                             pathlib.Path(scratch))
        runner._text_ids = [1, 2, 3]
        return runner

    def test_documents_repeat_the_text(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = self.bench(scratch).documents([2, 5, 1])
            self.assertEqual(exchange.parse_documents(path.read_bytes()),
                             [[1, 2], [3, 1, 2, 3, 1], [2]])

    def test_lengths_follow_the_options(self):
        plan = {"lengths": [{"tokens": 4, "most_rounds": 7},
                            {"tokens": 8, "most_rounds": 1},
                            {"tokens": 16, "most_rounds": 2, "long": True}]}
        with tempfile.TemporaryDirectory() as scratch:
            lengths = self.bench(scratch).lengths(plan)
            self.assertEqual(lengths, [(4, 3), (8, 1)])
            runner = self.bench(scratch, long=True)
            self.assertEqual(runner.lengths(plan)[-1], (16, 2))
            runner = self.bench(scratch, long=True, most_tokens=7)
            self.assertEqual(runner.lengths(plan), [(4, 3)])


class WorkerTest(unittest.TestCase):
    def worker(self):
        return processes.Worker("w", [sys.executable, "-c", WORKER],
                                os.sched_getaffinity(0))

    def test_answers_and_errors(self):
        with self.worker() as worker:
            self.assertEqual(worker.ask("add", numbers=[1, 2]), {"sum": 3})
            with self.assertRaisesRegex(processes.WorkerError, "w: no"):
                worker.ask("bad")
            self.assertEqual(worker.ask("add", numbers=[]), {"sum": 0})

    def test_an_end_is_an_error_with_the_last_words(self):
        with self.worker() as worker:
            with self.assertRaisesRegex(processes.WorkerError,
                                        "w ended: the last words"):
                worker.ask("end")
            with self.assertRaises(processes.WorkerError):
                worker.ask("add", numbers=[1])


if __name__ == "__main__":
    unittest.main()
