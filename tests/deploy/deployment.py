"""What the tests of deploy/ share: where things lie, YAML, Kubernetes schemas.

Paths of programs and schemas: environment variables that ctest sets, see
CMakeLists.txt.
"""

import json
import os
import pathlib
import re
import subprocess

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BASE = DEPLOY / "kustomize/base/longhand.yaml"
MONITORING = DEPLOY / "kustomize/components/monitoring/monitoring.yaml"
SERVER = os.environ.get("DEPLOY_SERVER", "")
SCHEMAS = pathlib.Path(os.environ.get("DEPLOY_SCHEMAS", "missing"))
# The oldest version that the chart supports, and a new one.
KUBERNETES_VERSIONS = ("1.27.0", "1.37.0")

TEXT_MAP = {"type": "object", "additionalProperties": {"type": "string"}}
LABEL_SELECTOR = {"type": "object", "additionalProperties": False,
                  "properties": {"matchLabels": TEXT_MAP}}
RULE = {
    "type": "object", "additionalProperties": False, "required": ["expr"],
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
    "properties": {"alert": {"type": "string"}, "record": {"type": "string"},
                   "expr": {"type": "string"}, "for": {"type": "string"},
                   "labels": TEXT_MAP, "annotations": TEXT_MAP}}
# Of the Prometheus operator, as far as we use it: its definitions are in no
# package that the tests can get.
OPERATOR_SPECS = {
    "ServiceMonitor": {
        "type": "object", "additionalProperties": False,
        "required": ["selector", "endpoints"],
        "properties": {
            "selector": LABEL_SELECTOR,
            "endpoints": {"type": "array", "minItems": 1, "items": {
                "type": "object", "additionalProperties": False,
                "properties": {name: {"type": "string"} for name in
                               ("port", "path", "interval", "scheme")}}}}},
    "PrometheusRule": {
        "type": "object", "additionalProperties": False, "required": ["groups"],
        "properties": {"groups": {"type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False,
            "required": ["name", "rules"],
            "properties": {"name": {"type": "string"},
                           "interval": {"type": "string"},
                           "rules": {"type": "array", "items": RULE}}}}}},
}
# What of a Kubernetes API version stands before the kind in the schemas.
API_GROUPS = {
    "v1": "io.k8s.api.core.v1",
    "apps/v1": "io.k8s.api.apps.v1",
    "autoscaling/v2": "io.k8s.api.autoscaling.v2",
    "networking.k8s.io/v1": "io.k8s.api.networking.v1",
    "policy/v1": "io.k8s.api.policy.v1",
}


class UniqueKeys(yaml.SafeLoader):
    """Refuses a key that a mapping has twice; the last would win silently."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value
                if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"twice in one mapping: {twice}")
        return super().construct_mapping(node, deep)


def load_all(text):
    """The documents of a YAML text but for empty ones."""
    return [document for document in yaml.load_all(text, UniqueKeys)
            if document is not None]


def load(path):
    (document,) = load_all(path.read_text())
    return document


def one(documents, kind, name=None):
    """The only document of a kind (and name)."""
    found = [document for document in documents if document["kind"] == kind
             and name in (None, document["metadata"]["name"])]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} of {kind} {name or ''}")
    return found[0]


def kubernetes_schemas(version):
    return json.loads((SCHEMAS / f"kubernetes-{version}.json").read_text())


def errors_of(document, definitions):
    """What is wrong with one manifest, as lines."""
    api, kind = document["apiVersion"], document["kind"]
    if api == "monitoring.coreos.com/v1":
        schema = {"type": "object", "additionalProperties": False,
                  "required": ["apiVersion", "kind", "metadata", "spec"],
                  "properties": {"apiVersion": {}, "kind": {},
                                 "metadata": {"type": "object"},
                                 "spec": OPERATOR_SPECS[kind]}}
    else:
        name = f"{API_GROUPS[api]}.{kind}"
        schema = {"$ref": f"#/$defs/{name}", "$defs": definitions["$defs"]}
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{kind} {'.'.join(map(str, error.path))}: {error.message[:200]}"
            for error in validator.iter_errors(document)]


def server_flags():
    """Names of all flags of the server but those that print and exit."""
    text = run_server("--help").stdout
    flags = set(re.findall(r"^  (?:-\w,)?--([a-z][a-z0-9-]*)", text, re.M))
    return flags - {"help", "version", "config", "print-config"}


def run_server(*arguments, **environment):
    """Runs the server with flags that print and exit; no LONGHAND_* else."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith("LONGHAND_")}
    return subprocess.run([SERVER, *arguments], capture_output=True, text=True,
                          env={**clean, **environment}, check=False,
                          timeout=60)


def printed_config(*arguments, **environment):
    """{flag: value} of what the server says would be in effect."""
    result = run_server(*arguments, "--print-config", **environment)
    if result.returncode != 0:
        raise AssertionError(f"{arguments}: {result.stderr}")
    pairs = re.findall(r'^([a-z0-9-]+)="(.*)"$', result.stdout, re.M)
    return dict(pairs)
