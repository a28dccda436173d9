"""The recipes of docs/operations.md for certificates: run as they stand there,
their names held against the addresses that the documents and manifests use, and
what they make given to a real server.
"""

import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

import deployment

sys.path.append(str(deployment.ROOT / "tests/integration"))
import programs  # pylint: disable=wrong-import-position
import tiny_model  # pylint: disable=wrong-import-position

PAGE = (deployment.ROOT / "docs/operations.md").read_text()
CHART = deployment.DEPLOY / "helm/longhand"
DOMAIN = "longhand.svc.cluster.local"


def code_blocks(title):
    """The fenced blocks of one section."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE,
                        re.M | re.S).group(1)
    return re.findall(r"^```\w*\n(.*?)^```", section, re.M | re.S)


def commands(block, program):
    """The commands of a block that begin so, lines joined, as words."""
    return [shlex.split(line) for line in
            block.replace("\\\n", " ").splitlines()
            if line.startswith(program + " ")]


def readiness_command():
    """The example of probes.readinessCommand, which two files have."""
    examples = {re.search(r"\[longhand, health, [^]]*\]", text).group(0)
                for text in (PAGE, (CHART / "values.yaml").read_text())}
    (example,) = examples
    return [str(word) for word in deployment.load_all(example)[0]]


class RecipeTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.recipe = code_blocks("TLS")[0]
        making, _, _ = cls.recipe.partition("longhand-server ")
        subprocess.run(["bash", "-eu", "-c", making], cwd=cls.folder,
                       check=True, capture_output=True)
        cls.model = tiny_model.make_tiny_model(cls.folder / "tiny",
                                               programs.TESTDATA_DIR)

    def is_named(self, host):
        output = subprocess.run(
            ["openssl", "x509", "-in", self.folder / "server.crt", "-noout",
             "-checkhost", host], capture_output=True, text=True,
            check=True).stdout
        return "does match" in output

    def test_every_address_is_in_the_certificate(self):
        hosts = set(re.findall(r"(?:dns:///)?\b(longhand[\w.-]*|localhost):50051",
                               PAGE))
        envoy = (deployment.DEPLOY / "envoy/envoy.yaml").read_text()
        hosts |= set(re.findall(r"\baddress: (longhand-[\w.-]+)", envoy))
        hosts.add(f"longhand-7.longhand-headless.{DOMAIN}")
        hosts.add("longhand.longhand.svc")
        self.assertLessEqual(
            {"longhand", "longhand-headless", "localhost",
             f"longhand.{DOMAIN}", f"longhand-headless.{DOMAIN}"}, hosts)
        for host in sorted(hosts):
            with self.subTest(host):
                self.assertTrue(self.is_named(host))

    def test_other_names_are_not_in_the_certificate(self):
        for host in ("longhand-0", f"other.{DOMAIN}",
                     "longhand.other.svc.cluster.local"):
            self.assertFalse(self.is_named(host), host)

    def test_secret_has_the_files_of_the_recipe(self):
        block = code_blocks("Kubernetes")[0]
        namespace, secret = commands(block, "kubectl")
        (install,) = commands(block, "helm")
        self.assertEqual(namespace, ["kubectl", "create", "namespace",
                                     "longhand"])
        self.assertIn("longhand-tls", secret)
        for command in (secret, install):
            self.assertEqual(command[command.index("-n") + 1], "longhand")
        files = dict(re.match(r"--from-file=([^=]+)=(.+)", word).groups()
                     for word in secret if word.startswith("--from-file"))
        values = deployment.load(CHART / "values.yaml")["tls"]
        self.assertEqual(set(files),
                         {"tls.crt", "tls.key", values["clientCaKey"]})
        self.assertIn(values["secretName"], secret)
        for file in files.values():
            self.assertTrue((self.folder / file).is_file(), file)

    def start(self, *flags):
        server = programs.Server(self.model, *flags)
        self.addCleanup(server.__exit__, None, None, None)
        return server.wait_until_ready()

    def flags_of(self, command):
        """File names of the recipe, made whole."""
        return [str(self.folder / word) if re.fullmatch(r"[\w/.-]+\.(crt|key)",
                                                        word) else word
                for word in command]

    def run_client(self, server, words):
        port = server.address.rpartition(":")[2]
        words = [word.replace("50051", port) for word in words]
        return subprocess.run([programs.CLIENT_PROGRAM, *words], check=False,
                              capture_output=True, text=True,
                              env=programs.clean_environment())

    def test_server_and_client_of_the_recipe_meet(self):
        (serve,) = commands(self.recipe, "longhand-server")
        (call,) = commands(self.recipe, "longhand")
        flags = self.flags_of(serve[serve.index("--tls-cert"):])
        self.assertIn("--tls-client-ca", flags)
        server = self.start(*flags)
        words = self.flags_of(call[1:])
        result = self.run_client(server, words)
        self.assertEqual(result.returncode, 0, result.stderr)
        without = words[:words.index("--cert")]
        self.assertNotEqual(self.run_client(server, without).returncode, 0)

    def test_readiness_command_asks_the_server(self):
        """Of a server without client certificates, as the example stands."""
        server = self.start("--tls-cert", str(self.folder / "server.crt"),
                            "--tls-key", str(self.folder / "server.key"))
        command = [word.replace("/etc/longhand/tls", str(self.folder))
                   for word in readiness_command()]
        self.assertEqual(command[0], "longhand")
        result = self.run_client(server, command[1:])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("SERVING", result.stdout)

    def test_readiness_command_ends_before_its_probe(self):
        words = readiness_command()
        seconds = int(words[words.index("--timeout") + 1].removesuffix("s"))
        template = (CHART / "templates/statefulset.yaml").read_text()
        probe = template[template.index("readinessProbe:"):
                         template.index("livenessProbe:")]
        (limit,) = re.findall(r"timeoutSeconds: (\d+)", probe)
        self.assertLess(seconds, int(limit))


if __name__ == "__main__":
    unittest.main()
