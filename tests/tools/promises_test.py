"""The README's promises name tests that this build runs."""

import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import promises  # pylint: disable=wrong-import-position

README = """# It

## Promises

1. **Kept.** Always: [a](tests/a/x_test.cc), [b](docs/b.md),
   [c](tests/integration/c_test.py).
2. **Broken.** [gone](tests/gone_test.cc)

## More

1. **Other.** [d](tests/d_test.cc)
"""
COMMANDS = {
    "x_test": ["/build/bin/x_test"],
    "integration_c": ["python3", "/src/tests/integration/c_test.py"],
}


class PromisesTest(unittest.TestCase):
    def test_the_readme_keeps_its_form(self):
        found = promises.read_promises((ROOT / "README.md").read_text())
        self.assertEqual(len(found), 12)
        for name, paths in found:
            for path in paths:
                self.assertTrue((ROOT / path).is_file(), f"{name}: {path}")

    def test_this_build_runs_them(self):
        commands = promises.read_commands(os.environ["LONGHAND_BUILD_DIR"])
        rows, errors = promises.make_table(
            promises.read_promises((ROOT / "README.md").read_text()), commands,
            None)  # fmt: skip
        self.assertEqual(errors, [])
        self.assertGreater(len(rows), 12)

    def test_results_are_joined(self):
        found = promises.read_promises(README)
        rows, errors = promises.make_table(
            found, COMMANDS, {"x_test": "run", "integration_c": "fail"})  # fmt: skip
        self.assertEqual(rows, [("1. Kept", "x_test", "passed"),
                                ("1. Kept", "integration_c", "FAILED")])  # fmt: skip
        self.assertEqual(errors, [
            "promise 1: integration_c: FAILED",
            "promise 2: no test runs tests/gone_test.cc",
            "promise 2, Broken: no test",
        ])  # fmt: skip

    def test_fuzz_targets_are_replayed(self):
        self.assertEqual(
            promises.tests_of("tests/fuzz/json_fuzz.cc", {"fuzz_replay_json": []}),
            ["fuzz_replay_json"])  # fmt: skip

    def test_junit_is_read(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write('<testsuite><testcase name="a" status="run"/>'
                       '<testcase name="b" status="fail"/></testsuite>')  # fmt: skip
            file.flush()
            self.assertEqual(promises.read_results(file.name),
                             {"a": "run", "b": "fail"})  # fmt: skip


if __name__ == "__main__":
    unittest.main(verbosity=2)
