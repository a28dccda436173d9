"""docs/operations.md against what is there: flags, alerts, metrics, reasons."""

import json
import re
import shlex
import unittest

import jsonschema

import deployment
import flag_tables
import kubernetes_test

PAGE = deployment.ROOT / "docs/operations.md"
ERRORS = deployment.ROOT / "docs/errors.md"
RULES = deployment.DEPLOY / "prometheus/rules.yaml"
CHART = deployment.DEPLOY / "helm/longhand"


class OperationsTest(unittest.TestCase):

    def setUp(self):
        self.page = PAGE.read_text()

    def test_flag_tables_are_up_to_date(self):
        self.assertEqual(
            flag_tables.between_marks(self.page),
            flag_tables.tables_of(deployment.SERVER),
            "run tests/deploy/flag_tables.py SERVER --write docs/operations.md")

    def test_tables_have_every_flag(self):
        tables = flag_tables.between_marks(self.page)
        named = set(re.findall(r"^\| `--([a-z0-9-]+)`", tables, re.M))
        self.assertEqual(named - {"config", "print-config"},
                         deployment.server_flags())

    def test_flags_in_the_text_exist(self):
        flags = deployment.server_flags() | {"config", "print-config"}
        text = self.page.replace(flag_tables.between_marks(self.page), "")
        # In prose and in our own commands; other programs have other flags.
        own = set(re.findall(r"`--([a-z][a-z0-9-]*)", text))
        for command in re.findall(r"longhand-server((?:[^`\n]|\\\n)*)", text):
            own |= set(re.findall(r" --([a-z][a-z0-9-]*)", command))
        own -= {"build-arg", "cert", "health-cmd", "server-name",
                "token-file"}
        self.assertEqual(own - flags, set())

    def test_every_alert_has_a_section(self):
        alerts = set()
        for group in deployment.load(RULES)["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    alerts.add(rule["alert"])
                    self.assertEqual(
                        rule["annotations"]["runbook"],
                        f"docs/operations.md#{rule['alert'].lower()}")
        sections = set(re.findall(r"^### (Longhand\w+)$", self.page, re.M))
        self.assertEqual(sections, alerts)
        self.assertLessEqual(set(re.findall(r"`(Longhand[A-Z]\w+)`", self.page)),
                             alerts)

    def test_dashboard_shows_the_metrics_that_are_explained(self):
        dashboard = (deployment.DEPLOY / "grafana/longhand.json").read_text()
        wanted = {re.sub("_(bucket|sum|count)$", "", name) for name in
                  re.findall(r"\b(?:longhand|grpc_server)_[a-z_]+", dashboard)}
        explained = set(re.findall(r"`((?:longhand|grpc_server)_[a-z_]+)`",
                                   self.page))
        self.assertEqual(wanted, explained)
        self.assertGreater(len(json.loads(dashboard)["panels"]), 20)

    def numbers(self, pattern):
        """What the groups of a pattern match in the page, lines joined."""
        (match,) = re.findall(pattern, " ".join(self.page.split()))
        return [float(number.replace(",", "")) for number in match]

    def test_throughput_is_what_was_measured(self):
        seconds, tokens, rate = self.numbers(
            r"takes ([\d.]+) processor seconds for ([\d,]+) tokens .{0,80}? "
            r"about ([\d,]+) tokens a second and core")
        self.assertLess(abs(tokens / seconds / rate - 1), 0.02)
        measured = (deployment.ROOT / "docs/performance.md").read_text()
        self.assertRegex(
            " ".join(measured.split()),
            rf"Together: 16,384 tokens .{{0,80}}and {seconds} after")

    def test_budgets_of_the_example_fit(self):
        """Its documents and sessions into them, and they into the limit."""
        documents, sessions = self.numbers(
            r"eight: ([\d.]+) GB; .{0,60}KiB = ([\d.]+) GB;")
        settings = dict(re.findall(r"budgets\.(\w+)=(\w+)", self.page))
        working = kubernetes_test.size_of(settings["workingBytes"])
        session = kubernetes_test.size_of(settings["sessionBytes"])
        self.assertGreater(working, documents * 1e9)
        self.assertGreater(session, sessions * 1e9)
        values = deployment.load(CHART / "values.yaml")
        grpc = kubernetes_test.size_of(values["budgets"]["grpcBytes"])
        limit = kubernetes_test.size_of(values["resources"]["memory"] + "B")
        self.assertLess(1.25 * (130e6 + working + session + grpc), limit)

    def test_values_that_are_shown_are_the_charts(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        shown = [block for block in
                 re.findall(r"^```yaml\n(.*?)^```", self.page, re.M | re.S)
                 if block.startswith("networkPolicy:")]
        (values,) = deployment.load_all("".join(shown))
        jsonschema.validate(values, schema)
        self.assertEqual(set(values["networkPolicy"]),
                         {"dns", "extraIngress", "extraEgress"})

    def test_commands_name_the_namespace(self):
        """That of the certificate; and an upgrade keeps the other values."""
        text = self.page.replace("\\\n", " ")
        found = [shlex.split(line) for line in text.splitlines()
                 if re.match("(kubectl create secret|helm) ", line)]
        self.assertGreater(len(found), 3)
        for words in found:
            self.assertEqual(words[words.index("-n") + 1], "longhand", words)
            if "upgrade" in words:
                self.assertIn("--reuse-values", words)

    def test_age_of_connections_is_the_servers(self):
        security = (deployment.ROOT / "SECURITY.md").read_text()
        self.assertIn("takes no new calls after about half an hour", security)
        self.assertIn("up to `--max-stream-seconds` (an hour) longer", security)
        source = (deployment.ROOT / "server/grpc_options.cc").read_text()
        self.assertIn("GRPC_ARG_MAX_CONNECTION_AGE_MS, absl::Minutes(30)",
                      source)
        config = deployment.printed_config()
        self.assertEqual(max(float(config["max-stream-seconds"]),
                             float(config["max-request-seconds"])), 3600)

    def test_reasons_are_those_of_the_errors_page(self):
        rows = self.page[self.page.index("## Troubleshooting"):
                         self.page.index("## Logs")]
        named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|OVERLOADED|DRAINING)`",
                               rows))
        known = set(re.findall(r"`([A-Z][A-Z_0-9]+)`", ERRORS.read_text()))
        self.assertGreater(len(named), 15)
        self.assertEqual(named - known, set())

    def test_links_lead_somewhere(self):
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
                   for title in re.findall(r"^#+ (.*)$", self.page, re.M)}
        for target in re.findall(r"\]\(([^)]+)\)", self.page):
            path, _, anchor = target.partition("#")
            if path:
                self.assertTrue((PAGE.parent / path).exists(), target)
            else:
                self.assertIn(anchor, anchors)


if __name__ == "__main__":
    unittest.main()
