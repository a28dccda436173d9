"""docs/operations.md against what is there: flags, alerts, metrics, reasons."""

import json
import re
import unittest

import deployment
import flag_tables

PAGE = deployment.ROOT / "docs/operations.md"
ERRORS = deployment.ROOT / "docs/errors.md"
RULES = deployment.DEPLOY / "prometheus/rules.yaml"


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

    def test_metrics_of_the_dashboard_are_explained(self):
        dashboard = (deployment.DEPLOY / "grafana/longhand.json").read_text()
        wanted = {re.sub("_(bucket|sum|count)$", "", name) for name in
                  re.findall(r"\b(?:longhand|grpc_server)_[a-z_]+", dashboard)}
        explained = set(re.findall(r"`((?:longhand|grpc_server)_[a-z_]+)`",
                                   self.page))
        self.assertEqual(wanted - explained, set())
        self.assertGreater(len(json.loads(dashboard)["panels"]), 20)

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
