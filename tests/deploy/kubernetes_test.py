"""The rendered manifests: what the API server would refuse, what the restricted
Pod Security standard demands, and whether the server takes its configuration.
"""

import copy
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

import deployment

DRAIN_MARGIN_SECONDS = 10
ALLOWED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret",
                   "projected", "downwardAPI", "csi", "ephemeral"}


def base():
    return deployment.load_all(deployment.BASE.read_text())


def monitoring():
    return deployment.load_all(deployment.MONITORING.read_text())


def pod(documents):
    return deployment.one(documents, "StatefulSet")["spec"]["template"]["spec"]


def size_of(text):
    """Bytes of "3GiB"."""
    number, unit = re.fullmatch(r"(\d+)([KMG]i)B", text).groups()
    return int(number) << {"Ki": 10, "Mi": 20, "Gi": 30}[unit]


def restricted_violations(spec):
    """Fields that the Pod Security standard `restricted` refuses."""
    problems = []
    context = spec.get("securityContext", {})
    if not context.get("runAsNonRoot"):
        problems.append("runAsNonRoot")
    if context.get("runAsUser", 0) == 0:
        problems.append("runAsUser")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        problems.append("seccompProfile")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            problems.append(key)
    for volume in spec.get("volumes", []):
        problems += sorted(set(volume) - {"name"} - ALLOWED_VOLUMES)
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            problems.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            problems.append("capabilities")
        if own.get("privileged"):
            problems.append("privileged")
        if any("hostPort" in port for port in container.get("ports", [])):
            problems.append("hostPort")
    return problems


class SchemaTest(unittest.TestCase):

    def check(self, documents):
        self.assertGreater(len(documents), 1)
        for version in deployment.KUBERNETES_VERSIONS:
            schemas = deployment.kubernetes_schemas(version)
            for document in documents:
                self.assertEqual(deployment.errors_of(document, schemas), [],
                                 version)

    def test_base(self):
        self.check(base())
        self.assertGreater(len(base()), 5)

    def test_monitoring(self):
        self.check(monitoring())

    def test_base_needs_no_definitions_of_others(self):
        """Without the Prometheus operator's CRDs kubectl apply refuses its
        kinds: those are in the component."""
        for document in base():
            self.assertIn(document["apiVersion"], deployment.API_GROUPS)
        self.assertEqual({document["kind"] for document in monitoring()},
                         {"PrometheusRule", "ServiceMonitor"})
        component = deployment.load(
            deployment.MONITORING.parent / "kustomization.yaml")
        self.assertEqual(component["kind"], "Component")
        self.assertEqual(component["resources"], [deployment.MONITORING.name])

    def test_broken_manifests_are_found(self):
        schemas = deployment.kubernetes_schemas("1.37.0")

        def broken(kind, change):
            document = copy.deepcopy(
                deployment.one(base() + monitoring(), kind))
            change(document["spec"])
            return deployment.errors_of(document, schemas)

        def template(spec):
            return spec["template"]["spec"]

        for kind, change in (
                ("StatefulSet", lambda s: s.update(replica=1)),
                ("StatefulSet", lambda s: s.pop("serviceName") and
                 s.pop("selector")),
                ("StatefulSet", lambda s: template(s).update(
                    terminationGracePeriodSeconds="45s")),
                ("StatefulSet", lambda s: template(s)["containers"][0][
                    "readinessProbe"].update(tcpSokcet={})),
                ("StatefulSet", lambda s: template(s)["containers"][0].pop(
                    "name")),
                ("PodDisruptionBudget", lambda s: s.update(maxUnavailable=[])),
                ("NetworkPolicy", lambda s: s["ingress"][0].update(froms=[])),
                ("ServiceMonitor", lambda s: s["endpoints"][0].update(prot=1)),
                ("PrometheusRule", lambda s: s["groups"][0]["rules"][0].pop(
                    "expr"))):
            with self.subTest(kind=kind):
                self.assertNotEqual(broken(kind, change), [])

    def test_duplicate_keys_are_found(self):
        with self.assertRaises(yaml.YAMLError):
            deployment.load_all("a: 1\nb: 2\na: 3\n")

    def overlay(self, folder):
        if shutil.which("kubectl") is None:
            self.skipTest("kubectl, which builds the overlay, is not installed")
        result = subprocess.run(
            ["kubectl", "kustomize", folder / "overlays/example"],
            capture_output=True, text=True, check=True)
        return deployment.load_all(result.stdout)

    def test_overlay(self):
        documents = self.overlay(deployment.DEPLOY / "kustomize")
        self.check(documents)
        self.assertEqual(restricted_violations(pod(documents)), [])
        container = pod(documents)["containers"][0]
        self.assertIn("@sha256:", container["image"])
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        self.assertIn("redis", mounts)
        for document in monitoring():
            metadata = deployment.one(documents, document["kind"])["metadata"]
            self.assertEqual(metadata["namespace"], "longhand")
            self.assertTrue(metadata["labels"]["release"])

    def test_overlay_without_monitoring(self):
        with tempfile.TemporaryDirectory() as folder:
            copied = pathlib.Path(folder) / "kustomize"
            shutil.copytree(deployment.DEPLOY / "kustomize", copied)
            path = copied / "overlays/example/kustomization.yaml"
            settings = deployment.load(path)
            self.assertEqual(settings.pop("components"),
                             ["../../components/monitoring"])
            path.write_text(yaml.safe_dump(settings))
            documents = self.overlay(copied)
        self.assertLessEqual({document["apiVersion"] for document in documents},
                             set(deployment.API_GROUPS))


class PodTest(unittest.TestCase):

    def test_restricted(self):
        spec = pod(base())
        self.assertEqual(restricted_violations(spec), [])
        self.assertFalse(spec["automountServiceAccountToken"])
        container = spec["containers"][0]
        self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
        for mount in container["volumeMounts"]:
            self.assertTrue(mount.get("readOnly") or mount["name"] == "tmp")

    def test_violations_are_found(self):
        spec = pod(base())
        for change in (lambda s: s["securityContext"].pop("runAsNonRoot"),
                       lambda s: s["securityContext"].pop("seccompProfile"),
                       lambda s: s.update(hostNetwork=True),
                       lambda s: s["volumes"].append(
                           {"name": "x", "hostPath": {"path": "/"}}),
                       lambda s: s["containers"][0].pop("securityContext")):
            changed = copy.deepcopy(spec)
            change(changed)
            self.assertNotEqual(restricted_violations(changed), [])

    def test_guaranteed_with_whole_cores(self):
        resources = pod(base())["containers"][0]["resources"]
        self.assertEqual(resources["requests"], resources["limits"])
        self.assertEqual(str(int(resources["limits"]["cpu"])),
                         resources["limits"]["cpu"])

    def test_budgets_fit_the_limit(self):
        """The arithmetic of docs/operations.md, with the default model."""
        text = deployment.one(base(), "ConfigMap")["data"]["longhand.toml"]
        flags = dict(re.findall(r'^(\S+)="(.*)"$', text, re.M))
        needed = 130e6 + sum(size_of(flags[name]) for name in (
            "max-working-bytes", "session-memory-bytes", "grpc-memory-bytes"))
        limit = pod(base())["containers"][0]["resources"]["limits"]["memory"]
        self.assertLessEqual(1.25 * needed, size_of(limit + "B"))

    def test_names_meet(self):
        documents = base()
        stateful = deployment.one(documents, "StatefulSet")
        labels = stateful["spec"]["template"]["metadata"]["labels"]
        headless = deployment.one(documents, "Service",
                                  stateful["spec"]["serviceName"])
        self.assertEqual(headless["spec"]["clusterIP"], "None")
        ports = {port["name"] for port in
                 stateful["spec"]["template"]["spec"]["containers"][0]["ports"]}
        for document in documents:
            if document["kind"] == "Service":
                self.assertLessEqual(document["spec"]["selector"].items(),
                                     labels.items())
                for port in document["spec"]["ports"]:
                    self.assertIn(port["targetPort"], ports)
        for kind, key in (("NetworkPolicy", "podSelector"),
                          ("PodDisruptionBudget", "selector")):
            selector = deployment.one(documents, kind)["spec"][key]
            self.assertLessEqual(selector["matchLabels"].items(),
                                 labels.items())
        monitor = deployment.one(monitoring(), "ServiceMonitor")["spec"]
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(),
                             headless["metadata"]["labels"].items())

    def test_network_policy_is_closed(self):
        spec = deployment.one(base(), "NetworkPolicy")["spec"]
        self.assertEqual(sorted(spec["policyTypes"]), ["Egress", "Ingress"])
        for rule in spec["ingress"]:
            self.assertTrue(rule["from"] and rule["ports"])
        for rule in spec["egress"]:
            self.assertTrue(rule["to"] and rule["ports"])

    def test_rules_are_those_of_prometheus(self):
        rule = deployment.one(monitoring(), "PrometheusRule")
        self.assertEqual(
            rule["spec"],
            deployment.load(deployment.DEPLOY / "prometheus/rules.yaml"))


class ConfigurationTest(unittest.TestCase):
    """The real server reads what the pod would give it."""

    def config_map(self):
        return deployment.one(base(), "ConfigMap")["data"]["longhand.toml"]

    def in_effect(self, text, **environment):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "longhand.toml"
            path.write_text(text)
            return deployment.printed_config("--config", str(path),
                                             **environment)

    def test_server_takes_it(self):
        text = self.config_map()
        flags = [line.replace('"', "") for line in text.splitlines() if line]
        config = self.in_effect(text)
        self.assertEqual(config, deployment.printed_config(
            *(f"--{flag}" for flag in flags)))
        self.assertNotEqual(config, deployment.printed_config())
        self.assertTrue(config["tls-cert"])
        self.assertTrue(config["tls-client-ca"])
        self.assertEqual(config["insecure-allow-remote-plaintext"], "false")

    def test_server_refuses_another_flag(self):
        with self.assertRaises(AssertionError):
            self.in_effect(self.config_map() + 'no-such-flag="1"\n')

    def test_grace_period(self):
        config = self.in_effect(self.config_map())
        drain = (float(config["drain-delay-seconds"])
                 + float(config["drain-timeout-seconds"]))
        self.assertEqual(pod(base())["terminationGracePeriodSeconds"],
                         drain + DRAIN_MARGIN_SECONDS)

    def test_files_are_mounted(self):
        container = pod(base())["containers"][0]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        config = self.in_effect(self.config_map())
        for flag in ("tls-cert", "tls-key", "tls-client-ca"):
            folder = str(pathlib.PurePosixPath(config[flag]).parent)
            self.assertIn(folder, mounts)

    def test_environment(self):
        """The owner's name reaches the server, which the file does not set."""
        container = pod(base())["containers"][0]
        values = {entry["name"]: entry.get("value") for entry in
                  container["env"]}
        owner = values["LONGHAND_SESSION_OWNER"].replace(
            "$(POD_NAME)", "longhand-0").replace("$(POD_NAMESPACE)", "n")
        config = self.in_effect(self.config_map(), LONGHAND_SESSION_OWNER=owner)
        self.assertEqual(
            config["session-owner"],
            "longhand-0.longhand-headless.n.svc.cluster.local:50051")


if __name__ == "__main__":
    unittest.main()
