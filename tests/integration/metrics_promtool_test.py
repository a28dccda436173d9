"""What /metrics says: promtool accepts it, its series are there from the start,
and neither it nor the log shows anything of a document."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import programs
import tiny_model

# Words that appear nowhere but in the documents sent here.
CANARY = "zanzibarquagga"


def series(text):
    """Names with their labels, without values."""
    return {line.rpartition(" ")[0] for line in text.splitlines()
            if line and not line.startswith("#")}


def promtool():
    """The path of promtool, which the first call may download."""
    folder = pathlib.Path(os.environ["INTEGRATION_WORK_DIR"]) / "promtool"
    return subprocess.run(
        [os.environ["INTEGRATION_GET_PROMTOOL"], folder],
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


class MetricsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        model = tiny_model.make_tiny_model(self.folder / "tiny",
                                           programs.TESTDATA_DIR)
        self.server = programs.Server(model)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)
        self.server.wait_until_ready()

    def test_metrics(self):
        first = self.server.scrape()
        before = self.server.metrics()
        self.send_requests()
        last = self.server.scrape()
        after = self.server.metrics()

        self.assertGreater(len(series(first)), 100)
        self.assertEqual(series(last), series(first))
        for text in (first, last):
            self.check_by_promtool(text)
        for text in (first, last, self.server.log()):
            self.assertNotIn(CANARY, text.lower())
        self.check_counts(before, after)
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn(CANARY, self.server.log().lower())

    def send_requests(self):
        good = self.folder / "good.txt"
        good.write_text(f"{CANARY} and more\n" * 300)
        bad = self.folder / "bad.txt"
        bad.write_bytes(CANARY.encode() + b"\xff")
        for arguments in (("info",), ("tokenize", good), ("encode", good),
                          ("encode", good, "--visibility", "bidirectional"),
                          ("encode", good, "--mechanism", "independent")):
            programs.run_client(self.server, *arguments)
        for arguments in (("tokenize", bad), ("encode", bad),
                          ("encode", good, "--mechanism", CANARY),
                          ("encode", good, "--model", CANARY),
                          ("encode", good, "--chunk-tokens", "9999")):
            result = subprocess.run(
                programs.client_command(self.server, *arguments),
                capture_output=True, env=programs.clean_environment(),
                check=False)
            self.assertNotEqual(result.returncode, 0, arguments)

    def check_counts(self, before, after):
        """The requests are where a dashboard would look for them."""
        def grown(pattern):
            return sum(value - before[name] for name, value in after.items()
                       if re.search(pattern, name))
        stream = 'grpc_method="EncodeStream"'
        handled = f"^grpc_server_handled_total.*{stream}"
        self.assertEqual(grown(f"^grpc_server_started_total.*{stream}"), 7)
        self.assertEqual(grown(handled), 7)
        self.assertEqual(
            sum(after[name] for name in after
                if re.search(handled, name) and 'grpc_code="OK"' in name), 3)
        self.assertEqual(grown("^grpc_server_handling_seconds_count.*"
                               + stream), 7)
        self.assertEqual(grown("^longhand_request_tokens_count"), 3)
        self.assertGreater(grown("^longhand_encode_tokens_total"), 1000)
        self.assertEqual(after["longhand_open_documents"], 0)

    def check_by_promtool(self, text):
        result = subprocess.run([promtool(), "check", "metrics"], input=text,
                                capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, result.stdout + result.stderr),
                         (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
