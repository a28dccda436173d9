"""docs/api.md against the protos and docs/errors.md."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import api_docs  # pylint: disable=wrong-import-position

PAGE = ROOT / "docs/api.md"
ERRORS = ROOT / "docs/errors.md"
PROTO = """syntax = "proto3";

package a.v1;

import "google/protobuf/duration.proto";

// Says | hello.
service Greeter {
  // Once for
  // each.
  rpc Greet(stream GreetRequest) returns (GreetResponse);
}

// A request.
message GreetRequest {
  // Who.
  repeated string names = 1 [(google.api.field_behavior) = REQUIRED];
  // How.
  optional Tone tone = 2 [(google.api.field_behavior) = OPTIONAL];
  // What.
  oneof content {
    // A | b.
    bytes text = 4;
  }
}

// An answer.
message GreetResponse {}

// A tone.
enum Tone {
  // None.
  TONE_UNSPECIFIED = 0;
}
"""


def section(page, title):
    """From a heading of the second level to the next one."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def reasons(text):
    return set(re.findall(r"`([A-Z]+(?:_[A-Z0-9]+)+|[A-Z]{6,})`", text))


class ReferenceTest(unittest.TestCase):

    def test_everything_of_a_proto_is_in_it(self):
        text = api_docs.reference({"a.proto": PROTO})
        for wanted in (
                "## longhand.v1.Greeter", "#### Greet\n",
                "a stream of [GreetRequest](#greetrequest) → "
                "[GreetResponse](#greetresponse)", "Once for\neach.",
                "| 1 | `names` | list of `string`; required | Who. |",
                "| 2 | `tone` | [Tone](#tone); may be left out | How. |",
                "| 4 | `text` | `bytes`; one of *content* | A \\| b. |",
                "*content*: What.", "No fields.",
                "| 0 | `TONE_UNSPECIFIED` | None. |"):
            self.assertIn(wanted, text)
        self.assertEqual(api_docs.methods({"a.proto": PROTO}), ["Greet"])

    def test_what_it_cannot_read_is_an_error(self):
        for broken in ("  map<string, string> a = 5;", "  reserved 7;",
                       "  message Inner {\n  }", "  string a = 5"):
            with self.assertRaises(ValueError):
                api_docs.reference({"a.proto": PROTO.replace(
                    "  // What.", broken)})


class PageTest(unittest.TestCase):

    def setUp(self):
        self.page = PAGE.read_text()
        self.protos = api_docs.read_protos()

    def test_reference_is_up_to_date(self):
        self.assertTrue(
            api_docs.between_marks(self.page)
            == api_docs.reference(self.protos),
            "run tools/api_docs.py --write docs/api.md")

    def test_every_method_has_its_errors(self):
        rows = re.findall(r"^\| `(\w+)` \|",
                          section(self.page, "Errors by method"), re.M)
        self.assertEqual(rows, api_docs.methods(self.protos))

    def test_reasons_are_those_of_the_errors_page(self):
        errors = ERRORS.read_text()
        named = reasons(section(self.page, "Errors by method"))
        of_calls = set()
        for title in ("The document", "Sessions", "The server"):
            for first in re.findall(r"^\| (`.*?) \|", section(errors, title),
                                    re.M):
                of_calls |= reasons(first)
        self.assertGreater(len(of_calls), 50)
        self.assertEqual(of_calls - named, set())
        self.assertEqual(named - reasons(errors), set())

    def test_links_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)]+)\)", self.page):
            path, _, anchor = target.partition("#")
            file = (PAGE.parent / path) if path else PAGE
            self.assertTrue(file.exists(), target)
            if anchor:
                anchors = {
                    re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
                    for title in re.findall(r"^#+ (.*)$", file.read_text(),
                                            re.M)}
                self.assertIn(anchor, anchors, target)


if __name__ == "__main__":
    unittest.main()
