"""tools/setup --no-model, and what tools/long/run and tools/long/deploy do where
a job cannot run: the scripts themselves, among stand-ins for what they call."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import deployment

TOOLS = deployment.ROOT / "tools"


class ScriptTest(unittest.TestCase):
    """Copies of scripts in a tree of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.calls = self.root / "calls"
        self.calls.touch()

    def copy(self, *names):
        for name in names:
            path = self.root / "tools" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOOLS / name, path)

    def stand_in(self, path, body="true"):
        """A script that notes that it is called, and does `body`."""
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n"
                        f"printf '%s\\n' \"{path.name} $*\" >> {self.calls}\n"
                        f"{body}\n")
        path.chmod(0o755)

    def run_script(self, *command, **environment):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("LONGHAND_")}
        return subprocess.run(
            [self.root / "tools" / command[0], *command[1:]], check=False,
            capture_output=True, text=True,
            env={**clean, "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
                 **environment})

    def called(self):
        return self.calls.read_text().splitlines()


class SetupTest(ScriptTest):

    def setUp(self):
        super().setUp()
        self.copy("common.sh", "setup")
        self.stand_in("tools/get_model")
        # All packages are there, and so is what else a build needs.
        self.stand_in("bin/dpkg-query", "echo 'install ok installed'")
        self.stand_in("bin/apt-get", "exit 1")
        protos = self.root / ".deps/googleapis/google/rpc"
        protos.mkdir(parents=True)
        (protos / "error_details.proto").touch()

    def test_without_a_model(self):
        result = self.run_script("setup", "--no-model")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual({call.split()[0] for call in self.called()},
                         {"dpkg-query"})
        self.assertFalse((self.root / ".deps/documents").exists())

    def test_with_a_model(self):
        documents = self.root / ".deps/documents"
        documents.mkdir()
        (documents / "jargon.txt").touch()
        result = self.run_script("setup")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"get_model {self.root}/models/all-MiniLM-L6-v2",
                      self.called())

    def test_sample_document_is_fetched_with_the_model(self):
        result = self.run_script("setup")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("apt-get download -qq jargon-text", self.called())

    def test_help_has_every_option(self):
        text = self.run_script("setup", "--help").stdout
        options = set(re.findall(r"^    (--[a-z-]+)\)",
                                 (TOOLS / "setup").read_text(), re.M))
        self.assertEqual(options, {"--tests", "--long", "--no-model"})
        for option in options:
            self.assertIn(option, text)

    def test_unknown_option(self):
        self.assertNotEqual(
            self.run_script("setup", "--no-model", "--modle").returncode, 0)


class LongRunTest(ScriptTest):

    def setUp(self):
        super().setUp()
        self.copy("common.sh", "long/common.sh", "long/run", "long/deploy")
        for job in ("static", "sanitize", "fuzz", "image", "soak"):
            self.stand_in(f"tools/long/{job}")
        self.stand_in("tools/build",
                      'echo "with $LONGHAND_CMAKE_OPTIONS"; '
                      'mkdir -p "$(dirname "$0")/../build/bin"; '
                      'touch "$(dirname "$0")/../build/bin/longhand-server"; '
                      'chmod +x "$(dirname "$0")/../build/bin/longhand-server"')

    def results(self, text):
        """{job: result} of the table."""
        table = text[text.rindex("\njob "):].splitlines()[2:]
        return {match.group(1): match.group(2) for match in
                (re.match(r"(\S+(?: \S+)?) +\d+ (.*)$", line)
                 for line in table)}

    def without_go(self):
        """A PATH with neither go nor helm."""
        folder = self.root / "few"
        folder.mkdir()
        for name in ("bash", "cat", "date", "dirname", "basename", "grep",
                     "head", "mkdir", "nproc", "sed", "sh", "sort", "tail",
                     "touch", "chmod"):
            (folder / name).symlink_to(shutil.which(name))
        return str(folder)

    def test_builds_first_what_jobs_start(self):
        result = self.run_script("long/run", "static", "soak")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(self.called(), ["build ", "static ", "soak "])
        log = self.root / "build-long/logs/build.log"
        self.assertEqual(log.read_text(), "with -DLONGHAND_BUILD_TESTS=ON\n")
        self.assertEqual(self.results(result.stdout),
                         {"build": "ok", "static": "ok", "soak": "ok"})

    def test_builds_nothing_for_jobs_that_build(self):
        result = self.run_script("long/run", "static", "fuzz")
        self.assertEqual(self.called(), ["static ", "fuzz "], result.stderr)

    def test_without_go_deploy_is_skipped(self):
        result = self.run_script("long/run", "deploy", PATH=self.without_go())
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(self.results(result.stdout)["deploy"],
                         "^skipped: no go ")

    def test_old_go_is_none(self):
        path = self.without_go()
        self.stand_in("few/go", "echo go version go1.19.8 linux/amd64")
        result = self.run_script("long/run", "deploy", PATH=path)
        self.assertRegex(self.results(result.stdout)["deploy"],
                         "^skipped: no go ")
        self.stand_in("few/go", 'test "$1" = version && '
                      "echo go version go1.24.1 linux/amd64")
        result = self.run_script("long/run", "deploy", PATH=path)
        self.assertEqual(self.results(result.stdout)["deploy"], "FAILED")
        self.assertTrue(any(call.startswith("go install helm")
                            for call in self.called()))

    def test_failures_are_told(self):
        self.stand_in("tools/long/soak", "echo memory grows; exit 3")
        result = self.run_script("long/run", "static", "soak")
        self.assertEqual(result.returncode, 1)
        self.assertIn("memory grows", result.stdout)
        self.assertEqual(self.results(result.stdout)["soak"], "FAILED")
        self.assertEqual(self.results(result.stdout)["static"], "ok")

    def test_every_job_is_in_the_page(self):
        page = (deployment.ROOT / "docs/testing.md").read_text()
        for job in self.run_script("long/run", "--list").stdout.splitlines():
            self.assertIn(f"`{job.split()[0]}`", page)


class HeaderTest(unittest.TestCase):

    def test_no_header_promises_debian_13(self):
        """README.md says how far that has been tried."""
        readme = (deployment.ROOT / "README.md").read_text()
        self.assertIn("## Limitations", readme)
        for name in ("setup", "quickstart"):
            head = (TOOLS / name).read_text().split("source ")[0]
            self.assertNotIn("12 or 13", head)
            self.assertIn("Limitations", head)


if __name__ == "__main__":
    unittest.main()
