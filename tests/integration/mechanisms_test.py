"""Every mechanism that the default model can run, over the wire.

The loops go over what GetModel lists, so a new mechanism is covered as soon as
it is registered. Each one's numbers are checked elsewhere; here it is that it
encodes a document of some pages, that its own options reach it and come back,
and that `longhand compare` measures them all.
"""

import json
import math
import subprocess
import tempfile
import unittest

import grpc

import documents
import programs
import session_wire
import wire
import wire_case
from wire import encoder_pb, model_pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PAGES_BYTES = 12_000
DEFAULT_WINDOW = 96  # of the server under test
# One more than the default is allowed for all others.
OTHER_VALUES = {"random_features": 64}
# What a model of the family BERT has the parameters for, whatever else.
AT_LEAST = {"bsbr", "bsbr_cumulant", "bsbr_exact", "independent"}
EXIT_REJECTED = 5


def setUpModule():  # pylint: disable=invalid-name
    # pylint: disable-next=global-statement
    global server, connection, text, sentence, model
    text = documents.beginning(documents.read_document(PAGES_BYTES),
                               PAGES_BYTES)
    sentence = documents.beginning(text, 200)
    server, connection = wire_case.start_server(
        programs.MODEL_DIR, "--default-window-tokens", str(DEFAULT_WINDOW),
        "--default-anchor-weight", "0", "--default-document-weight", "0")
    model = connection.models.GetModel(model_pb.GetModelRequest(),
                                       timeout=60).model


def tearDownModule():  # pylint: disable=invalid-name
    wire_case.check_and_stop(server, connection)


def option_fields():
    return [field.name
            for field in encoder_pb.MechanismOptions.DESCRIPTOR.fields]


def numbers(**values):
    return encoder_pb.MechanismOptions(**values)


class MechanismCase(wire_case.WireCase):

    def for_each_mechanism(self, check):
        """Calls `check` with each name, as a subtest."""
        self.assertGreaterEqual(set(model.mechanisms), AT_LEAST)
        for name in model.mechanisms:
            with self.subTest(mechanism=name):
                check(name)

    def applied_or_unused(self, **options):
        """(The options as applied to a short text, None), or (None, the name of
        the one that the mechanism does not look at)."""
        try:
            encoded = wire.encode(connection, sentence, **options)
        except grpc.RpcError as error:
            info = self.assert_error(wire.rpc_status(error), INVALID,
                                     "OPTION_UNUSED")
            return None, info.metadata["field"]
        return encoded.summary.options, None


class EncodingTest(MechanismCase):

    def test_each_encodes_some_pages(self):
        self.for_each_mechanism(self.check_pages)

    def check_pages(self, name):
        encoded = wire.encode_stream(connection, [text[:777], text[777:]],
                                     mechanism=name)
        summary = encoded.summary
        self.assertEqual(summary.options.mechanism, name)
        byte, token = 0, 0
        for span in encoded.spans:
            self.assertEqual((span[0], span[2]), (byte, token))
            self.assertLess(token, span[3])
            byte, token = span[1], span[3]
        self.assertEqual(byte, len(text))
        self.assertEqual(summary.received_tokens, token)
        self.assertGreater(len(encoded.spans), 10)
        self.assertEqual(len(encoded.vectors),
                         model.hidden_size * len(encoded.spans))
        self.assertTrue(all(map(math.isfinite, encoded.vectors)))
        self.assertAlmostEqual(math.hypot(*encoded.document_vector), 1,
                               places=4)
        self.assertGreaterEqual(summary.peak_working_bytes,
                                summary.state_bytes)
        self.assertGreater(summary.peak_working_bytes, 0)

    def test_what_is_not_listed_is_not_there(self):
        self.assertNotIn("bsbr_reference", model.mechanisms)
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION, "MECHANISM_UNAVAILABLE",
            lambda: wire.encode(connection, sentence,
                                mechanism="bsbr_reference"))


class OptionsTest(MechanismCase):

    def test_each_takes_its_numbers_and_names_the_others(self):
        looked_at = set()
        self.for_each_mechanism(
            lambda name: looked_at.update(self.check_numbers(name)))
        self.assertIn("window_tokens", looked_at)

    def check_numbers(self, name):
        """Returns the names of those that it looks at."""
        defaults = model.default_options.mechanism_options
        looked_at = set()
        for field in option_fields():
            value = OTHER_VALUES.get(field, getattr(defaults, field) + 1)
            applied, unused = self.applied_or_unused(
                mechanism=name, mechanism_options=numbers(**{field: value}))
            if applied is None:
                self.assertEqual(unused, field)
                continue
            looked_at.add(field)
            expected = numbers()
            expected.CopyFrom(defaults)
            setattr(expected, field, value)
            self.assertEqual(applied.mechanism_options, expected)
        applied, unused = self.applied_or_unused(mechanism=name,
                                                 global_tokens=[0, 7])
        if applied is None:
            self.assertEqual(unused, "global_tokens")
        else:
            looked_at.add("global_tokens")
            self.assertEqual(list(applied.global_tokens), [0, 7])
        return looked_at

    def test_numbers_outside_their_bounds_are_refused(self):
        for field in option_fields():
            for value in (1 << 30) + 1, (1 << 32) - 1:
                info, message = self.assert_fails(
                    INVALID, "MECHANISM_OPTION_OUT_OF_RANGE",
                    lambda f=field, v=value: wire.encode(
                        connection, sentence,
                        mechanism_options=numbers(**{f: v})))
                self.assertEqual(info.metadata["field"], field)
                self.assertIn(info.metadata["max"], message)
        for tokens, reason in (([3, 3], "GLOBAL_TOKENS_INVALID"),
                               ([1 << 63], "GLOBAL_TOKENS_INVALID"),
                               (range(4097), "TOO_MANY_GLOBAL_TOKENS")):
            self.assert_fails(INVALID, reason,
                              lambda t=tokens: wire.encode(
                                  connection, sentence, global_tokens=t))

    def test_defaults_are_the_operators(self):
        defaults = model.default_options.mechanism_options
        self.assertEqual(defaults.window_tokens, DEFAULT_WINDOW)
        for field in option_fields():
            self.assertTrue(defaults.HasField(field), field)
        (line,) = [line for line in map(json.loads, server.log().splitlines())
                   if line["event"] == "defaults of requests"]
        self.assertIn(f"window_tokens {DEFAULT_WINDOW}",
                      line["mechanism_options"])
        shown = json.loads(programs.run_client(server, "info", "--output",
                                               "json"))
        self.assertEqual(
            shown["default_options"]["mechanism_options"],
            {field: getattr(defaults, field) for field in option_fields()})

    def test_sessions_keep_them(self):
        streamable = []
        self.for_each_mechanism(
            lambda name: streamable.extend(self.check_session(name)))
        self.assertGreaterEqual(set(streamable), AT_LEAST)

    def check_session(self, name):
        """Returns [name], or [] if it cannot stream."""
        options = {"mechanism": name}
        applied, _ = self.applied_or_unused(
            mechanism=name, mechanism_options=numbers(window_tokens=5))
        if applied is not None:
            options["mechanism_options"] = numbers(window_tokens=5)
        try:
            session_id = session_wire.create(connection, **options)
        except grpc.RpcError as error:
            self.assert_error(wire.rpc_status(error),
                              grpc.StatusCode.FAILED_PRECONDITION,
                              "NOT_STREAMABLE")
            return []
        kept = session_wire.get(connection, session_id).options
        self.assertEqual(kept.mechanism, name)
        self.assertEqual(kept.mechanism_options.window_tokens,
                         5 if applied is not None else DEFAULT_WINDOW)
        return [name]


class CompareTest(MechanismCase):

    def setUp(self):
        self._file = tempfile.NamedTemporaryFile()
        self.addCleanup(self._file.close)
        self._file.write(text)
        self._file.flush()

    def compare(self, *flags):
        return json.loads(programs.run_client(
            server, "compare", self._file.name, "--output", "json", *flags))

    def test_all_are_measured(self):
        result = self.compare()
        self.assertEqual(result["format"], "longhand.compare.v1")
        self.assertEqual(result["input"]["bytes"], len(text))
        self.assertEqual([row["mechanism"] for row in result["mechanisms"]],
                         list(model.mechanisms))
        reference = ("full" if "full" in model.mechanisms
                     else model.mechanisms[0])
        self.assertEqual(result["reference"], reference)
        plain = wire.encode(connection, text, mechanism=reference)
        for row in result["mechanisms"]:
            with self.subTest(mechanism=row["mechanism"]):
                self.assertEqual(row["unused_options"], [])
                self.assertEqual(row["chunk_count"], len(plain.spans))
                self.assertEqual(row["received_tokens"],
                                 plain.summary.received_tokens)
                self.assertGreater(row["total_seconds"], 0)
                self.assertGreater(row["tokens_per_second"], 0)
                self.assertGreater(row["peak_working_bytes"], 0)
                for cosine in ("document_cosine", "mean_chunk_cosine",
                               "min_chunk_cosine"):
                    self.assertLessEqual(abs(row[cosine]), 1.0001)
                self.assertLessEqual(row["min_chunk_cosine"],
                                     row["mean_chunk_cosine"])
                self.assertLessEqual(0, row["same_nearest_share"])
                self.assertLessEqual(row["same_nearest_share"], 1)
                if row["mechanism"] == reference:
                    self.assertAlmostEqual(row["min_chunk_cosine"], 1, places=5)
                    self.assertEqual(row["same_nearest_share"], 1)

    def test_cosines_are_those_of_the_vectors(self):
        result = self.compare("--mechanisms", "bsbr,independent",
                              "--reference", "independent", "--gate", "0.9")
        options = {"bsbr": {"gate": 0.9}, "independent": {}}
        encoded = {name: wire.encode(connection, text, mechanism=name, **extra)
                   for name, extra in options.items()}
        by_name = {row["mechanism"]: row for row in result["mechanisms"]}
        self.assertEqual(by_name["independent"]["unused_options"], ["gate"])
        cosines = []
        for index in range(len(encoded["bsbr"].spans)):
            a, b = (one.vectors[index * model.hidden_size:
                                (index + 1) * model.hidden_size]
                    for one in encoded.values())
            cosines.append(sum(map(float.__mul__, a, b))
                           / math.hypot(*a) / math.hypot(*b))
        self.assertAlmostEqual(by_name["bsbr"]["min_chunk_cosine"],
                               min(cosines), places=4)
        self.assertAlmostEqual(by_name["bsbr"]["mean_chunk_cosine"],
                               sum(cosines) / len(cosines), places=4)
        self.assertLess(min(cosines), 0.9999)

    def test_a_failure_is_a_row_and_the_exit_status(self):
        result = subprocess.run(
            programs.client_command(server, "compare", self._file.name,
                                    "--mechanisms", "magic,bsbr"),
            capture_output=True, env=programs.clean_environment(), check=False)
        self.assertEqual(result.returncode, EXIT_REJECTED)
        self.assertIn(b"[UNKNOWN_MECHANISM]", result.stderr)
        lines = result.stdout.decode().splitlines()
        self.assertTrue(lines[1].startswith("magic  failed: "), lines)
        self.assertTrue(lines[2].startswith("bsbr "), lines)


if __name__ == "__main__":
    unittest.main()
