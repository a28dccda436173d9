"""`longhand load` against a real server: every document is accounted for.

With the tiny model, whose tokens are the letters of a text. Nothing here
depends on how fast the machine is.
"""

import json
import pathlib
import random
import string
import subprocess
import tempfile
import unittest

import programs
import tiny_model

LIMIT_DOCUMENTS = 4


def make_text(rng):
    """Words of one to eight letters, a few kilobytes."""
    return " ".join(
        "".join(rng.choices(string.ascii_lowercase, k=rng.randrange(1, 9)))
        for _ in range(2000)) + "\n"


class LoadTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="longhand-test-")
        folder = pathlib.Path(cls.scratch.name)
        cls.text = folder / "text"
        cls.text.write_text(make_text(random.Random(3)))
        cls.model = tiny_model.make_tiny_model(folder / "tiny",
                                               programs.TESTDATA_DIR)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def load(self, server, *arguments):
        return json.loads(programs.run_client(
            server, "load", self.text, "--output", "json", *arguments))

    def check_counts(self, stats):
        self.assertEqual(stats["arrivals"], stats["sent"] + stats["not_sent"])
        self.assertEqual(
            stats["sent"],
            stats["ok"] + stats["late"] + stats["rejected"]
            + stats["deadline_exceeded"] + stats["unfinished"])
        self.assertEqual(stats["latency"]["count"], stats["ok"] + stats["late"])
        self.assertEqual(
            sum(error["count"] for error in stats["errors"]),
            stats["rejected"] + stats["deadline_exceeded"])

    def test_a_closed_loop_serves_both_classes(self):
        with programs.Server(self.model, "--workers", "2") as server:
            server.wait_until_ready()
            report = self.load(server, "--clients", "4", "--duration", "1s",
                               "--warm-up", "200ms", "--mix",
                               "short:0.5:16,long:0.5:300-600")
            metrics = server.metrics()
            self.assertEqual(server.open_documents(), 0)
            self.assertEqual(server.stop(), 0)
        self.assertFalse(report["interrupted"])
        self.assertAlmostEqual(report["window_seconds"], 1, places=5)
        self.assertLessEqual(report["peak_outstanding"], 4)
        for stats in report["classes"]:
            self.check_counts(stats)
            self.assertGreater(stats["ok"], 0)
            self.assertEqual(stats["ok"], stats["arrivals"])
            self.assertGreater(stats["latency"]["p50"], 0)
        # Warm-up, special tokens and the command's own document come on top.
        self.assertGreater(metrics["longhand_encode_tokens_total"],
                           report["total"]["throughput"]["answered_tokens"])

    def test_documents_over_the_message_limit_are_streamed(self):
        with programs.Server(self.model, "--max-message-bytes",
                             "65536") as server:
            server.wait_until_ready()
            report = self.load(server, "--clients", "2", "--requests", "4",
                               "--mix", "long:1:60000", "--piece-bytes", "7001")
            self.assertEqual(server.stop(), 0)
        self.assertEqual(report["total"]["ok"], 4)
        # Cut inside of a word, where the tiny tokenizer does not care.
        self.assertEqual(report["total"]["throughput"]["answered_tokens"],
                         4 * 60000)

    def test_an_open_loop_over_the_capacity_sees_refusals(self):
        with programs.Server(
                self.model, "--workers", "1", "--max-concurrent-documents",
                str(LIMIT_DOCUMENTS), "--max-queued-requests", "2") as server:
            server.wait_until_ready()
            report = self.load(
                server, "--rate", "300", "--arrivals", "constant",
                "--duration", "1s", "--warm-up", "0", "--mix", "long:1:30000",
                "--max-outstanding", "200")
            metrics = server.metrics()
            # It recovers: nothing of the load is left.
            calm = self.load(server, "--clients", "1", "--requests", "3",
                             "--mix", "short:1:16")
            self.assertEqual(server.stop(), 0)
        total = report["total"]
        self.check_counts(total)
        self.assertEqual(total["arrivals"], 300)
        self.assertGreater(total["ok"], 0)
        self.assertGreater(total["rejected"], 0)
        self.assertEqual([(error["code"], error["reason"])
                          for error in total["errors"]],
                         [("UNAVAILABLE", "OVERLOADED")])
        # The server counts the same.
        self.assertEqual(
            metrics['longhand_admission_rejected_total{reason="queue_full"}'],
            total["rejected"])
        self.assertEqual(total["reject_latency"]["count"], total["rejected"])
        self.assertEqual(total["advice"]["pushbacks"], total["rejected"])
        self.assertEqual(total["advice"]["retry_infos"], total["rejected"])
        self.assertEqual(total["retries"], 0)
        self.assertEqual(calm["total"]["ok"], 3)

    def test_the_flag_wins_over_the_environment(self):
        # Nobody listens there.
        elsewhere = dict(programs.clean_environment(),
                         LONGHAND_SERVER="127.0.0.1:1")
        with programs.Server(self.model) as server:
            server.wait_until_ready()
            for command in (["info"], ["tokenize", str(self.text)],
                            ["load", str(self.text), "--requests", "1",
                             "--clients", "1"]):
                subprocess.run(programs.client_command(server, *command),
                               env=elsewhere, check=True, capture_output=True)
                named = dict(elsewhere, LONGHAND_SERVER=server.address)
                subprocess.run([programs.CLIENT_PROGRAM, *command], env=named,
                               check=True, capture_output=True)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
