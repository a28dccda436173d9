"""deploy/compose.yaml: its form, what it exposes, and whether the server takes
its flags."""

import json
import re
import unittest

import jsonschema

import deployment

COMPOSE = deployment.DEPLOY / "compose.yaml"


class ComposeTest(unittest.TestCase):

    def setUp(self):
        self.compose = deployment.load(COMPOSE)
        schema = json.loads((deployment.SCHEMAS / "compose.json").read_text())
        self.validator = jsonschema.Draft7Validator(schema)

    def test_schema(self):
        errors = [f"{list(error.path)}: {error.message}"
                  for error in self.validator.iter_errors(self.compose)]
        self.assertEqual(errors, [])

    def test_mistakes_are_found(self):
        for change in (lambda c: c.update(servcies={}),
                       lambda c: c["services"]["longhand"].update(imag="x"),
                       lambda c: c["services"]["longhand"].update(ports=1),
                       lambda c: c["networks"].update(x={"intrenal": True})):
            self.setUp()
            change(self.compose)
            self.assertFalse(self.validator.is_valid(self.compose))

    def test_hardened(self):
        for name, service in self.compose["services"].items():
            with self.subTest(name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertIn("no-new-privileges:true",
                              service["security_opt"])
                self.assertIn("mem_limit", service)
                self.assertRegex(service["image"], r":[\w.]+$")
                self.assertFalse(service["image"].endswith(":latest"))

    def test_published_to_loopback_alone(self):
        for service in self.compose["services"].values():
            for port in service.get("ports", []):
                self.assertRegex(port, r"^127\.0\.0\.1:")

    def test_references(self):
        compose = self.compose
        for service in compose["services"].values():
            self.assertLessEqual(set(service["networks"]),
                                 set(compose["networks"]))
            self.assertLessEqual(set(service.get("secrets", [])),
                                 set(compose["secrets"]))
            self.assertLessEqual(set(service.get("depends_on", [])),
                                 set(compose["services"]))
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((deployment.DEPLOY / source).exists(),
                                    source)
                else:
                    self.assertIn(source, compose["volumes"])

    def test_server_takes_its_flags(self):
        config = deployment.printed_config(
            *self.compose["services"]["longhand"]["command"])
        self.assertEqual(config["listen"], "0.0.0.0:50051")
        self.assertEqual(config["session-store"], "redis")
        drain = (float(config["drain-delay-seconds"])
                 + float(config["drain-timeout-seconds"]))
        grace = self.compose["services"]["longhand"]["stop_grace_period"]
        self.assertGreater(int(grace.removesuffix("s")), drain + 5)

    def test_store_knows_the_commands(self):
        """The user's rights are those that core/store/redis_store.cc lists."""
        script = self.compose["services"]["valkey"]["command"][0]
        granted = {right.upper().replace("|", " ")
                   for right in re.findall(r" \+([a-z|]+)", script)}
        source = (deployment.ROOT / "core/store/redis_store.cc").read_text()
        head = " ".join(line.removeprefix("//").strip() for line in
                        source.splitlines() if line.startswith("//"))
        wanted = set(re.search(r"`~PREFIX\*` and ([A-Z, ]+)\.",
                               head).group(1).split(", "))
        self.assertEqual(granted, wanted | {"PING"})

    def test_prometheus(self):
        config = deployment.load(deployment.DEPLOY / "compose/prometheus.yml")
        (job,) = config["scrape_configs"]
        (target,) = job["static_configs"][0]["targets"]
        host, port = target.split(":")
        flags = self.compose["services"][host]["command"]
        self.assertIn(f"--metrics-listen=0.0.0.0:{port}", flags)


if __name__ == "__main__":
    unittest.main()
