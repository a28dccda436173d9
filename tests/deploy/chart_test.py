"""The Helm chart: rendered with many values, refused with wrong ones, and the
source of the kustomize base. Needs helm; without it only what needs none runs.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import jsonschema

import deployment
import kubernetes_test

CHART = deployment.DEPLOY / "helm/longhand"
HELM = os.environ.get("HELM") or shutil.which("helm")
ADAPTABLE = ("serviceMonitor.enabled=true", "prometheusRule.enabled=true",
             "dashboard.enabled=true")
VARIANTS = {
    "default": (),
    "everything": ADAPTABLE + (
        "autoscaling.enabled=true", "sessions.store=redis",
        "sessions.redis.address=valkey.data:6380",
        "sessions.redis.username=longhand",
        "sessions.redis.passwordSecret.name=p",
        "sessions.redis.tlsSecret.name=t",
        "sessions.snapshotKeySecret.name=s", "auth.tokensSecret.name=a",
        "model.existingClaim=models", "priorityClassName=high",
        "networkPolicy.redisNamespaceLabels.name=data",
        "networkPolicy.clientNamespaceLabels.name=apps",
        "image.pullSecrets[0].name=pull", "service.type=LoadBalancer",
        "podAnnotations.a=b", "nodeSelector.disk=ssd",
        "tolerations[0].key=x", "serviceAccount.name=mine",
        "config.max-document-bytes=268435456", "config.reflection=true"),
    "rocksdb": ("sessions.store=rocksdb", "replicaCount=2",
                "sessions.rocksdb.storageClassName=fast"),
    "no sessions": ("sessions.store=none", "podDisruptionBudget.enabled=false",
                    "networkPolicy.enabled=false"),
    "in a mesh": ("tls.enabled=false", "insecureAllowRemotePlaintext=true"),
    "without client certificates": ("tls.clientCertificates=false",),
    "asked by a command": ("probes.readinessCommand={longhand,health}",),
    "other peers": (
        "service.type=NodePort", "sessions.store=redis",
        "sessions.redis.address=cache.example:6379",
        "networkPolicy.dns[0].ipBlock.cidr=169.254.20.10/32",
        "networkPolicy.extraIngress[0].from[0].ipBlock.cidr=203.0.113.0/24",
        "networkPolicy.extraIngress[0].ports[0].port=grpc",
        "networkPolicy.extraEgress[0].to[0].ipBlock.cidr=192.0.2.10/32",
        "networkPolicy.extraEgress[0].ports[0].port=6379"),
}


def values_of(settings):
    return [part for setting in settings for part in ("--set", setting)]


def helm_template(*settings, chart=CHART, options=()):
    return subprocess.run(
        [HELM, "template", "longhand", chart, "--kube-version", "1.30.0",
         *options, *values_of(settings)],
        capture_output=True, text=True, check=False)


def notes(*settings):
    """NOTES.txt, which `helm template` leaves out: rendered as a template."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "longhand"
        shutil.copytree(CHART, copy)
        text = (CHART / "templates/NOTES.txt").read_text()
        (copy / "templates/notes.yaml").write_text(
            '{{- define "test.notes" -}}\n' + text + "\n{{- end -}}\n"
            'notes: {{ include "test.notes" . | toJson }}\n')
        result = helm_template(
            *settings, chart=copy,
            options=("--namespace", "longhand", "--show-only",
                     "templates/notes.yaml"))
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    (document,) = deployment.load_all(result.stdout)
    return document["notes"]


class ValuesTest(unittest.TestCase):
    """Needs no helm."""

    def setUp(self):
        self.schema = json.loads((CHART / "values.schema.json").read_text())
        self.values = deployment.load(CHART / "values.yaml")

    def test_values_keep_to_the_schema(self):
        jsonschema.Draft7Validator.check_schema(self.schema)
        jsonschema.validate(self.values, self.schema)
        self.values["tls"]["enabeld"] = False
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(self.values, self.schema)

    def test_schema_knows_every_value(self):
        def keys(schema, values, path=""):
            for key, value in values.items():
                self.assertIn(key, schema["properties"], path)
                below = schema["properties"][key]
                if isinstance(value, dict) and "properties" in below:
                    keys(below, value, f"{path}.{key}")
        keys(self.schema, self.values)

    def test_every_value_is_used(self):
        templates = "".join(path.read_text() for path in
                            (CHART / "templates").iterdir())
        for key in self.values:
            self.assertRegex(templates, rf"\.Values\.{key}\b")

    def test_versions(self):
        chart = deployment.load(CHART / "Chart.yaml")
        cmake = (deployment.ROOT / "CMakeLists.txt").read_text()
        version = re.search(r"project\(longhand VERSION (\S+)", cmake).group(1)
        self.assertEqual(chart["appVersion"], version)

    def test_included_files_are_the_originals(self):
        for name, target in (("rules.yaml", "prometheus/rules.yaml"),
                             ("dashboard.json", "grafana/longhand.json")):
            self.assertEqual((CHART / "files" / name).resolve(),
                             (deployment.DEPLOY / target).resolve())


@unittest.skipIf(HELM is None, "helm is not installed")
class ChartTest(unittest.TestCase):

    def render(self, *settings):
        result = helm_template(*settings)
        self.assertEqual(result.returncode, 0, result.stderr)
        return deployment.load_all(result.stdout)

    def test_lint(self):
        result = subprocess.run([HELM, "lint", "--strict", CHART],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_variants_are_valid(self):
        schemas = deployment.kubernetes_schemas("1.37.0")
        for name, settings in VARIANTS.items():
            with self.subTest(name):
                documents = self.render(*settings)
                for document in documents:
                    self.assertEqual(
                        deployment.errors_of(document, schemas), [])
                pod = kubernetes_test.pod(documents)
                self.assertEqual(kubernetes_test.restricted_violations(pod), [])

    def test_server_takes_every_configuration(self):
        known = deployment.server_flags()
        for name, settings in VARIANTS.items():
            with self.subTest(name):
                text = deployment.one(self.render(*settings), "ConfigMap",
                                      "longhand")["data"]["longhand.toml"]
                flags = {line.split("=")[0] for line in text.splitlines()
                         if line}
                self.assertLessEqual(flags, known)
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder) / "longhand.toml"
                    path.write_text(text)
                    deployment.printed_config("--config", str(path))

    def test_whole_numbers_stay_whole(self):
        documents = self.render("config.max-document-bytes=68719476736")
        text = deployment.one(documents, "ConfigMap")["data"]["longhand.toml"]
        self.assertIn('max-document-bytes="68719476736"', text)

    def test_autoscaler_owns_the_replicas(self):
        documents = self.render("autoscaling.enabled=true")
        stateful = deployment.one(documents, "StatefulSet")
        self.assertNotIn("replicas", stateful["spec"])
        target = deployment.one(documents, "HorizontalPodAutoscaler")["spec"]
        self.assertEqual(target["scaleTargetRef"]["name"],
                         stateful["metadata"]["name"])

    def test_probes_fit_the_transport(self):
        for settings, kind in ((VARIANTS["default"], "tcpSocket"),
                               (VARIANTS["in a mesh"], "grpc"),
                               (VARIANTS["asked by a command"], "exec")):
            container = kubernetes_test.pod(self.render(*settings))[
                "containers"][0]
            self.assertIn(kind, container["readinessProbe"])
            self.assertIn("httpGet", container["livenessProbe"])

    def test_grace_period_follows_the_drain(self):
        documents = self.render("drain.delaySeconds=7",
                                "drain.timeoutSeconds=60")
        self.assertEqual(
            kubernetes_test.pod(documents)["terminationGracePeriodSeconds"], 77)

    def policy(self, *settings):
        return deployment.one(self.render(*settings), "NetworkPolicy")["spec"]

    def test_egress_port_is_that_of_redis(self):
        egress = self.policy(*VARIANTS["everything"])["egress"]
        self.assertEqual(egress[-1]["ports"][0]["port"], 6380)

    def test_rules_are_added_to_the_network_policy(self):
        plain = self.policy("sessions.store=redis",
                            "sessions.redis.address=cache.example:6379")
        more = self.policy(*VARIANTS["other peers"])
        self.assertEqual(more["ingress"][:-1], plain["ingress"])
        self.assertEqual(more["ingress"][-1], {
            "from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
            "ports": [{"port": "grpc"}]})
        self.assertEqual(more["egress"][1:-1], plain["egress"][1:])
        self.assertEqual(more["egress"][-1], {
            "to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}],
            "ports": [{"port": 6379}]})

    def test_dns_replaces_the_peers_and_keeps_the_ports(self):
        plain = self.policy()["egress"][0]
        other = self.policy(
            "networkPolicy.dns[0].ipBlock.cidr=169.254.20.10/32")["egress"][0]
        self.assertEqual(other["to"],
                         [{"ipBlock": {"cidr": "169.254.20.10/32"}}])
        self.assertIn("kube-system", str(plain["to"]))
        self.assertEqual(other["ports"], plain["ports"])

    def test_protocol_of_the_ports(self):
        """A mesh takes `grpc` for HTTP/2 in plaintext."""
        for settings, protocol in ((VARIANTS["default"], "tls"),
                                   (VARIANTS["in a mesh"], "grpc")):
            named = [port["appProtocol"] for document in self.render(*settings)
                     if document["kind"] == "Service"
                     for port in document["spec"]["ports"]
                     if port["name"] == "grpc"]
            self.assertEqual(named, [protocol] * 2)

    def test_notes_have_the_names_of_the_recipe(self):
        """Those of the certificate in docs/operations.md."""
        page = (deployment.ROOT / "docs/operations.md").read_text()
        (domain,) = re.findall(r"^domain=(\S+)$", page, re.M)
        recipe = set(re.findall(r"DNS:([\w.*-]+)",
                                page.replace("$domain", domain)))
        recipe -= {"localhost", "alice.example"}
        text = notes()
        self.assertIn(f"longhand.{domain}:50051", text)
        self.assertIn(f"dns:///longhand-headless.{domain}:50051", text)
        names = re.search(r"those of the pods:\n((?:    .*\n)+)", text).group(1)
        self.assertEqual(set(re.split(r"[,\s]+", names.strip())), recipe)

    def test_notes_say_what_the_network_policy_keeps_out(self):
        redis = ("sessions.store=redis", "sessions.redis.address=a:1")
        for word, settings in (
                ("networkPolicy.extraIngress the", ("service.type=NodePort",)),
                ("needs networkPolicy.extraEgress", redis),
                ("NodeLocal DNSCache", ())):
            with self.subTest(word):
                self.assertIn(word, notes(*settings))
                self.assertNotIn(word, notes(*VARIANTS["other peers"]))
                self.assertNotIn(word, notes(
                    *settings, "networkPolicy.enabled=false"))
        self.assertNotIn("come from no pod", notes())

    def test_refused(self):
        for settings, message in (
                (("tls.enabeld=true",), "enabeld"),
                (("resources.cpu=1500m",), "cpu"),
                (("tls.enabled=false",), "insecureAllowRemotePlaintext"),
                (("insecureAllowRemotePlaintext=true",), "tls.enabled"),
                (("sessions.store=redis",), "sessions.redis.address"),
                (("sessions.store=disk",), "store"),
                (("networkPolicy.dns[0].cidr=10.0.0.1/32",), "dns"),
                (("networkPolicy.extraEgress[0].from[0].x=y",), "extraEgress"),
                (("networkPolicy.extraIngress.from=x",), "extraIngress"),
                (("config.listen=x",), "config.listen")):
            with self.subTest(settings):
                result = helm_template(*settings)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(message, result.stderr)

    def test_rendered_files_are_up_to_date(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            subprocess.run([deployment.DEPLOY / "render", folder], check=True,
                           env={**os.environ, "HELM": HELM})
            made = {path.relative_to(folder) for path in folder.rglob("*.yaml")}
            self.assertEqual(len(made), 2)
            for path in made:
                self.assertEqual(
                    (folder / path).read_text(),
                    (deployment.DEPLOY / "kustomize" / path).read_text(),
                    "run deploy/render")


if __name__ == "__main__":
    unittest.main()
