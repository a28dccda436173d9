"""Every metric, label and label value that the alerts and the dashboard name is
in what the server's /metrics says from its first scrape on, or is a recording
rule. Servers with TLS and without are both asked."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import deployment

sys.path.append(str(deployment.ROOT / "tests/integration"))
import programs  # pylint: disable=wrong-import-position
import tiny_model  # pylint: disable=wrong-import-position

RULES = deployment.DEPLOY / "prometheus/rules.yaml"
DASHBOARD = deployment.DEPLOY / "grafana/longhand.json"
# What Prometheus itself adds to a scrape.
OF_PROMETHEUS = {"up"}
TARGET_LABELS = {"job", "instance"}
SERIES = re.compile(r"\b((?:longhand|grpc_server|process)[a-z0-9_:]*|up)\b"
                    r"(?!\s*\()(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
# Where names are labels: by (...), on (...), group_left.
GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)")


def expressions():
    """(where, expression) of all rules and panels."""
    for group in deployment.load(RULES)["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def selectors(expression):
    """(metric, {(label, operator, value)}) of an expression."""
    text = GROUPING.sub("", expression)
    for name, inside in SERIES.findall(text):
        yield name, set(MATCHER.findall(inside))


def parse(scrape):
    """{name: [{label: value}]}; histograms by each of their names."""
    series = {}
    for line in scrape.splitlines():
        match = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line)
        if match and not line.startswith("#"):
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"',
                                     match.group(2) or ""))
            series.setdefault(match.group(1), []).append(labels)
    return series


def problems_of(expression, series, recorded):
    for name, matchers in selectors(expression):
        if name in OF_PROMETHEUS or name in recorded:
            continue
        if name not in series:
            yield f"no metric {name}"
            continue
        for label, operator, value in matchers:
            if label in TARGET_LABELS:
                continue
            values = {labels.get(label) for labels in series[name]}
            if values == {None}:
                yield f"{name} has no label {label}"
            elif operator in ("=", "!=") and value and value not in values:
                yield f"{name} has no {label}={value}"
            elif operator == "=~":
                for part in value.split("|"):
                    if not any(re.fullmatch(part, v or "") for v in values):
                        yield f"{name} has no {label}={part}"


def certificate(folder):
    """Flags of a server with a certificate of its own making."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


def read_across_groups(groups):
    """Names of the rules that read what another group records, or what their own
    records after them: which is evaluated first is then not said, and
    the rule may see the value of the evaluation before."""
    recorded = {rule["record"] for group in groups for rule in group["rules"]
                if "record" in rule}
    for group in groups:
        before = set()
        for rule in group["rules"]:
            read = {name for name, _ in selectors(rule["expr"])} & recorded
            if not read <= before:
                yield rule.get("alert") or rule["record"]
            before.add(rule.get("record"))


class RulesTest(unittest.TestCase):

    def test_rules_read_what_is_evaluated_before_them(self):
        groups = deployment.load(RULES)["groups"]
        self.assertEqual(list(read_across_groups(groups)), [])
        for group in groups:
            group["rules"].reverse()
        self.assertNotEqual(list(read_across_groups(groups)), [])

    def test_groups_of_their_own_are_found(self):
        groups = [{"rules": [rule]} for group in
                  deployment.load(RULES)["groups"] for rule in group["rules"]]
        self.assertIn("LonghandErrorBudgetBurnFast",
                      list(read_across_groups(groups)))


class MetricsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        folder = pathlib.Path(cls.folder.name)
        model = tiny_model.make_tiny_model(folder / "tiny",
                                           programs.TESTDATA_DIR)
        cls.series = {}
        for flags in ([], certificate(folder)):
            with programs.Server(model, *flags) as server:
                server.wait_until_ready()
                for name, labels in parse(server.scrape()).items():
                    cls.series.setdefault(name, []).extend(labels)
                server.stop()
        cls.recorded = {rule["record"] for group in
                        deployment.load(RULES)["groups"]
                        for rule in group["rules"] if "record" in rule}

    def test_expressions_name_what_is_there(self):
        found = [f"{where}: {problem}" for where, expression in expressions()
                 for problem in problems_of(expression, self.series,
                                            self.recorded)]
        self.assertEqual(sorted(set(found)), [])

    def test_wrong_names_are_found(self):
        for expression in ('rate(longhand_no_such_total[5m])',
                           'longhand:no_such:ratio_rate5m > 1',
                           'sum(longhand_wasted_tokens_total{reason="x"})',
                           'longhand_wasted_tokens_total{cause="whim"} > 0',
                           'grpc_server_handled_total{grpc_code=~"OK|Fine"}'):
            self.assertNotEqual(list(problems_of(expression, self.series,
                                                 self.recorded)), [],
                                expression)

    def test_metrics_of_the_server_are_watched(self):
        """Those of the service itself, by a panel or an alert."""
        used = {re.sub("_(bucket|sum|count)$", "", name)
                for _, expression in expressions()
                for name, _ in selectors(expression)}
        offered = {re.sub("_(bucket|sum|count)$", "", name)
                   for name in self.series if name.startswith("longhand_")}
        self.assertEqual(offered - used, set())


class DashboardTest(unittest.TestCase):

    def setUp(self):
        self.dashboard = json.loads(DASHBOARD.read_text())
        self.panels = [panel for panel in self.dashboard["panels"]
                       if panel["type"] != "row"]

    def test_panels_say_what_they_show(self):
        for panel in self.panels:
            with self.subTest(panel["title"]):
                self.assertTrue(panel["description"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertTrue(panel["targets"])

    def test_panels_are_told_apart(self):
        identifiers = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(identifiers), len(set(identifiers)))
        taken = set()
        for panel in self.dashboard["panels"]:
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24)
            cells = {(at["x"] + i, at["y"] + j)
                     for i in range(at["w"]) for j in range(at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_no_fixed_data_source(self):
        for panel in self.panels:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")


if __name__ == "__main__":
    unittest.main()
