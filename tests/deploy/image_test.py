"""Dockerfile, what reaches its build, tools/runtime_packages and tools/sbom. The
image itself is built and run by tools/long/image."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import deployment

DOCKERFILE = deployment.ROOT / "Dockerfile"
TOOLS = deployment.ROOT / "tools"
SPDX_ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+$")
PURL = re.compile(r"pkg:[a-z]+/[^@?]+@[^?]+(\?.+)?$")


def instructions():
    """[(word, rest)] of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def stage(number):
    """The instructions of a stage; -1: the last, which is the image."""
    stages = []
    for word, rest in instructions():
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((word, rest))
    return stages[number]


class DockerfileTest(unittest.TestCase):

    def test_last_stage(self):
        last = dict(stage(-1))
        self.assertEqual(last["USER"], "65532:65532")
        self.assertEqual(last["STOPSIGNAL"], "SIGTERM")
        # A list: no shell between the engine and the server.
        self.assertEqual(json.loads(last["ENTRYPOINT"]),
                         ["/usr/local/bin/longhand-server"])
        command = re.search(r"CMD (\[.*\])", last["HEALTHCHECK"]).group(1)
        self.assertEqual(json.loads(command)[0], "/usr/local/bin/longhand")
        for label in ("title", "version", "revision", "licenses"):
            self.assertIn(f"org.opencontainers.image.{label}", last["LABEL"])

    def test_model_is_fetched_only_if_it_is_wanted(self):
        steps = [rest for word, rest in instructions() if word == "RUN"]
        (setup,) = [step for step in steps if "tools/setup" in step]
        self.assertIn("tools/setup --no-model", setup)
        (model,) = [step for step in steps if "tools/get_model" in step]
        self.assertRegex(model, r'if \[ "\$WITH_MODEL" = 1 \]; then\s+'
                                r"tools/get_model .*fi$")

    def test_nothing_is_fetched_by_address(self):
        for word, rest in instructions():
            self.assertNotEqual(word, "ADD")
            self.assertNotRegex(rest, r"https?://|curl |wget ")

    def test_copied_paths_exist_and_are_not_ignored(self):
        kept = {line[1:] for line in
                (deployment.ROOT / ".dockerignore").read_text().splitlines()
                if line.startswith("!")}
        for word, rest in instructions():
            if word != "COPY" or rest.startswith("--from"):
                continue
            for source in rest.split()[:-1]:
                self.assertTrue((deployment.ROOT / source).exists(), source)
                self.assertIn(source.split("/")[0], kept)

    def test_environment_is_known_to_the_server(self):
        environment = dict(stage(-1))["ENV"]
        names = re.findall(r"\b(LONGHAND_[A-Z_]+)=(\S+)", environment)
        self.assertEqual(len(names), 2)
        config = deployment.printed_config(**dict(names))
        self.assertEqual(config["model"], "/models/all-MiniLM-L6-v2")
        self.assertNotEqual(config["log-format"],
                            deployment.printed_config()["log-format"])


class RuntimePackagesTest(unittest.TestCase):

    def packages(self, *programs, path=os.environ["PATH"]):
        return subprocess.run([TOOLS / "runtime_packages", *programs],
                              capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": path})

    def test_finds_what_the_server_loads(self):
        if shutil.which("dpkg-query") is None:
            self.skipTest("this is not Debian")
        result = self.packages(deployment.SERVER)
        self.assertEqual(result.returncode, 0, result.stderr)
        found = result.stdout.split()
        for prefix in ("libc6", "libgrpc++", "libdnnl", "librocksdb", "libicu",
                       "libssl", "libstdc++6"):
            self.assertTrue(any(name.startswith(prefix) for name in found),
                            prefix)
        self.assertFalse(any(name.endswith("-dev") for name in found))

    def test_a_diversion_is_no_package(self):
        # As Debian 13's says of the dynamic linker.
        with tempfile.TemporaryDirectory() as scratch:
            query = pathlib.Path(scratch) / "dpkg-query"
            query.write_text('#!/bin/sh\nshift\nfor file; do\n'
                             'echo "libc6:amd64: $file"\n'
                             'echo "diversion by libc6 from: $file"\n'
                             'echo "diversion by libc6 to: $file.old"\ndone\n')
            query.chmod(0o755)
            path = f"{scratch}:{os.environ['PATH']}"
            result = self.packages(deployment.SERVER, path=path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "libc6\n")

    def test_library_without_a_package_is_an_error(self):
        if shutil.which("gcc") is None or shutil.which("dpkg-query") is None:
            self.skipTest("needs gcc and dpkg-query")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            library, program = folder / "libown.so", folder / "program"
            subprocess.run(["gcc", "-shared", "-o", library, "-x", "c", "-"],
                           input=b"int own(void){return 0;}", check=True)
            subprocess.run(
                ["gcc", "-o", program, "-x", "c", "-", "-x", "none", library,
                 f"-Wl,-rpath,{folder}"],
                input=b"int own(void);int main(void){return own();}",
                check=True)
            result = self.packages(program)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("libown.so", result.stderr)
            library.unlink()
            result = self.packages(program)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("not found", result.stderr)


class BillOfMaterialsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        if shutil.which("dpkg-query") is None:
            raise unittest.SkipTest("this is not Debian")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            cls.weights = b"not really weights"
            (folder / "tiny").mkdir()
            (folder / "tiny/model.safetensors").write_bytes(cls.weights)
            (folder / "tiny/config.json").write_text("{}")
            cls.texts = []
            for _ in range(2):
                out = folder / "bill.json"
                subprocess.run(
                    [sys.executable, TOOLS / "sbom", "--models", folder,
                     "-o", out], check=True,
                    env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
                cls.texts.append(out.read_text())
        cls.bill = json.loads(cls.texts[0])

    def test_form(self):
        bill = self.bill
        self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
        self.assertEqual(bill["dataLicense"], "CC0-1.0")
        self.assertEqual(bill["SPDXID"], "SPDXRef-DOCUMENT")
        self.assertRegex(bill["documentNamespace"], "^urn:uuid:[0-9a-f-]{36}$")
        self.assertEqual(bill["creationInfo"]["created"],
                         "2023-11-14T22:13:20Z")
        self.assertRegex(bill["creationInfo"]["creators"][0], "^Tool: ")
        self.assertEqual(self.texts[0], self.texts[1])

    def test_packages(self):
        for package in self.bill["packages"]:
            self.assertRegex(package["SPDXID"], SPDX_ID)
            self.assertTrue(package["name"])
            self.assertTrue(package["versionInfo"])
            for field in ("downloadLocation", "licenseConcluded",
                          "licenseDeclared", "copyrightText"):
                self.assertTrue(package[field])
            self.assertIs(package["filesAnalyzed"], False)
            (reference,) = package["externalRefs"]
            self.assertEqual(reference["referenceCategory"], "PACKAGE-MANAGER")
            self.assertRegex(reference["referenceLocator"], PURL)
            for checksum in package.get("checksums", []):
                self.assertRegex(checksum["checksumValue"], "^[0-9a-f]{64}$")

    def test_relationships(self):
        identifiers = [package["SPDXID"] for package in self.bill["packages"]]
        self.assertEqual(len(identifiers), len(set(identifiers)))
        known = {*identifiers, "SPDXRef-DOCUMENT"}
        related = set()
        for relation in self.bill["relationships"]:
            self.assertIn(relation["spdxElementId"], known)
            self.assertIn(relation["relatedSpdxElement"], known)
            related.add(relation["relatedSpdxElement"])
        self.assertEqual(related, set(identifiers))

    def test_content(self):
        by_name = {package["name"]: package
                   for package in self.bill["packages"]}
        output = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${db:Status-Status} "
             "${Package} ${Version}\n"], capture_output=True, text=True,
            check=True).stdout
        installed = {tuple(line.split()[1:]) for line in output.splitlines()
                     if line.startswith("installed ")}
        listed = {(package["name"], package["versionInfo"])
                  for package in self.bill["packages"]}
        self.assertLessEqual(installed, listed)
        lock = (deployment.ROOT / "core/text/hf_tokenizer/Cargo.lock"
                ).read_text()
        crates = set(re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource',
                                lock))
        self.assertGreater(len(crates), 50)
        self.assertLessEqual(crates, listed)
        self.assertIn("googleapis-common-protos", by_name)
        tiny = by_name["tiny"]
        self.assertIn("config.json sha256:", tiny["comment"])
        self.assertEqual(len(tiny["checksums"]), 1)


if __name__ == "__main__":
    unittest.main()
