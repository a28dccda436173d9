"""What a request can say about retrieval, spans and context, over the wire.

Through gRPC's Python library, with the tiny model. Each option's numbers are
checked elsewhere; here it is that they reach the mechanism, that their results
come back in every kind of call, and that wrong ones are refused.
"""

import json
import math
import pathlib
import tempfile
import unittest

import grpc

import programs
import tiny_model
import wire
import wire_case
from wire import encoder_pb, model_pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LAYERS, HEADS, HIDDEN = 2, 4, 64  # of the tiny model
CAUSAL = encoder_pb.VISIBILITY_CAUSAL
BIDIRECTIONAL = encoder_pb.VISIBILITY_BIDIRECTIONAL
TWO_PASS = encoder_pb.VISIBILITY_TWO_PASS
DOCUMENT = encoder_pb.OUTPUT_DOCUMENT_VECTOR
CHUNKS = encoder_pb.OUTPUT_CHUNK_VECTORS
WEIGHTS = encoder_pb.OUTPUT_RETRIEVAL_WEIGHTS
HEAD_WEIGHTS = encoder_pb.OUTPUT_HEAD_RETRIEVAL_WEIGHTS
TEXT = (b"it was a bright cold day in april, and the clocks were striking "
        b"thirteen. " * 6)


def setUpModule():  # pylint: disable=invalid-name
    global server, connection  # pylint: disable=global-statement
    folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(folder.cleanup)
    model = tiny_model.make_tiny_model(pathlib.Path(folder.name) / "tiny",
                                       programs.TESTDATA_DIR)
    server, connection = wire_case.start_server(
        model, "--default-chunk-tokens", "20", "--default-top-k", "3",
        "--default-features", "softmax", "--default-anchor-weight", "0",
        "--default-document-weight", "0")


def tearDownModule():  # pylint: disable=invalid-name
    wire_case.check_and_stop(server, connection)


def spans(*pairs):
    return [encoder_pb.ByteSpan(begin=begin, end=end) for begin, end in pairs]


def unit(values):
    length = math.hypot(*values)
    return [value / length for value in values]


class RetrievalCase(wire_case.WireCase):

    def both(self, text=TEXT, **options):
        """The document in one call; checks that a stream gives the same."""
        whole = wire.encode(connection, text, **options)
        streamed = wire.encode_stream(
            connection, [text[:100], text[100:101], text[101:]], **options)
        self.assert_same(streamed, whole)
        self.assert_close(
            [x for w in streamed.head_weights for x in wire.floats(w.weights)],
            [x for w in whole.head_weights for x in wire.floats(w.weights)],
            "weights of heads")
        self.assertEqual([(s.index, s.begin_token, s.end_token)
                          for s in streamed.span_vectors],
                         [(s.index, s.begin_token, s.end_token)
                          for s in whole.span_vectors])
        return whole


class ModelTest(RetrievalCase):

    def test_model_lists_names_and_defaults(self):
        model = connection.models.GetModel(model_pb.GetModelRequest(),
                                           timeout=60).model
        self.assertEqual(list(model.feature_maps), ["elu", "softmax"])
        self.assertEqual(list(model.merges), ["gate", "lse", "balanced_lse"])
        self.assertLessEqual({"bf16", "f32", "int8", "low_rank"},
                             set(model.state_codecs))
        self.assertEqual(model.adapter_fingerprint, "")
        defaults = model.default_options
        self.assertEqual((defaults.top_k, defaults.features, defaults.merge,
                          defaults.state_codec),
                         (3, "softmax", "gate", "f32"))
        self.assertEqual(defaults.anchor_weight, 0)
        shown = json.loads(programs.run_client(server, "info", "--output",
                                               "json"))
        self.assertEqual(shown["default_options"]["top_k"], 3)
        self.assertEqual(shown["merges"], list(model.merges))

    def test_the_log_says_what_is_in_effect(self):
        lines = [json.loads(line) for line in server.log().splitlines()]
        (defaults,) = [line for line in lines
                       if line["event"] == "defaults of requests"]
        self.assertEqual((defaults["top_k"], defaults["features"]),
                         (3, "softmax"))


class WeightsTest(RetrievalCase):

    def test_weights_of_heads_are_what_the_mean_is_of(self):
        for visibility in (CAUSAL, BIDIRECTIONAL, TWO_PASS):
            with self.subTest(visibility=visibility):
                encoded = self.both(visibility=visibility, top_k=0,
                                    outputs=[WEIGHTS, HEAD_WEIGHTS])
                self.assert_means(encoded, visibility, range(LAYERS))

    def test_layers_that_do_not_retrieve_have_no_weights(self):
        encoded = self.both(retrieval_layers=[1],
                            outputs=[WEIGHTS, HEAD_WEIGHTS])
        self.assertEqual(list(encoded.summary.options.retrieval_layers), [1])
        self.assert_means(encoded, CAUSAL, [1])
        for weights in encoded.head_weights:
            if weights.layer == 0:
                self.assertEqual(set(wire.floats(weights.weights)), {0})

    def assert_means(self, encoded, visibility, layers):
        count = len(encoded.chunks)
        self.assertGreater(count, 10)
        self.assertEqual([(w.chunk_index, w.layer)
                          for w in encoded.head_weights],
                         [(chunk, layer) for chunk in range(count)
                          for layer in range(LAYERS)])
        for chunk in encoded.chunks:
            seen = chunk.index + 1 if visibility == CAUSAL else count
            mean = wire.floats(chunk.retrieval_weights)
            self.assertEqual(len(mean), seen)
            self.assertAlmostEqual(sum(mean), 0 if seen == 1 else 1, places=4)
            expected = [0.0] * seen
            for layer in layers:
                message = encoded.head_weights[chunk.index * LAYERS + layer]
                values = wire.floats(message.weights)
                self.assertEqual(len(values), HEADS * seen)
                for place, value in enumerate(values):
                    expected[place % seen] += value / (len(layers) * HEADS)
            self.assert_close(list(mean), expected, "mean")
            self.assertEqual(mean[chunk.index], 0)

    def test_top_k_leaves_that_many(self):
        encoded = self.both(top_k=2, anchors=1, neighbors=1,
                            outputs=[HEAD_WEIGHTS])
        for weights in encoded.head_weights:
            values = wire.floats(weights.weights)
            width = len(values) // HEADS
            for head in range(HEADS):
                row = values[head * width:(head + 1) * width]
                self.assertLessEqual(sum(value > 0 for value in row), 4)

    def test_command_gives_the_same_weights(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(TEXT)
            file.flush()
            shown = json.loads(programs.run_client(
                server, "encode", file.name, "--visibility", "two_pass",
                "--outputs", "head_weights", "--output", "json"))
        encoded = wire.encode(connection, TEXT, visibility=TWO_PASS,
                              outputs=[HEAD_WEIGHTS])
        self.assertEqual(len(shown["head_weights"]), len(encoded.head_weights))
        for ours, message in zip(shown["head_weights"], encoded.head_weights):
            self.assertEqual((ours["chunk_index"], ours["layer"]),
                             (message.chunk_index, message.layer))
            self.assertEqual(len(ours["weights"]), HEADS)
            self.assert_close(sum(ours["weights"], []),
                              list(wire.floats(message.weights)), "weights")


class OptionsTest(RetrievalCase):

    def test_options_change_the_vectors_and_come_back(self):
        plain = self.both().vectors
        for options in (
                {"visibility": TWO_PASS}, {"gate": 0.9}, {"merge": "lse"},
                {"merge": "balanced_lse"}, {"features": "elu"}, {"top_k": 1},
                {"anchors": 2, "anchor_share": 0.9}, {"neighbors": 4},
                {"state_codec": "int8"},
                {"state_codec": "low_rank", "state_rank": 2},
                {"retrieval_layers": [1]},
                {"head_gates": [0.9] * (LAYERS * HEADS)},
                {"anchor_weight": 0.5}, {"document_weight": 0.5}):
            with self.subTest(**options):
                encoded = self.both(**options)
                difference = max(map(abs, map(float.__sub__, encoded.vectors,
                                              plain)))
                self.assertGreater(difference, wire_case.TOLERANCE)
                for name, value in options.items():
                    applied = getattr(encoded.summary.options, name)
                    if isinstance(value, list):
                        self.assert_close(list(map(float, applied)),
                                          list(map(float, value)), name)
                    elif isinstance(value, float):
                        self.assertAlmostEqual(applied, value, places=6)
                    else:
                        self.assertEqual(applied, value)

    def test_two_pass_sees_all_and_computes_every_row_twice(self):
        encoded = self.both(visibility=TWO_PASS, outputs=[WEIGHTS])
        self.assertEqual(len(encoded.weights), len(encoded.spans) ** 2)
        causal = self.both(visibility=CAUSAL, outputs=[WEIGHTS])
        self.assertEqual(encoded.summary.encoded_tokens,
                         2 * causal.summary.encoded_tokens)

    def test_unknown_names_and_numbers_are_refused(self):
        for options, reason in (
                ({"features": "magic"}, "FEATURES_UNKNOWN"),
                ({"merge": "magic"}, "MERGE_UNKNOWN"),
                ({"state_codec": "magic"}, "UNKNOWN_STATE_CODEC"),
                ({"top_k": 1 << 31}, "TOP_K_OUT_OF_RANGE"),
                ({"retrieval_layers": [LAYERS]}, "RETRIEVAL_OPTIONS"),
                ({"retrieval_layers": [1, 0]}, "RETRIEVAL_OPTIONS"),
                ({"head_gates": [0.5]}, "RETRIEVAL_OPTIONS"),
                ({"anchor_share": math.nan}, "RETRIEVAL_OPTIONS"),
                ({"anchor_weight": -1}, "CONTEXT_WEIGHT_OUT_OF_RANGE"),
                ({"document_weight": -101}, "CONTEXT_WEIGHT_OUT_OF_RANGE"),
                ({"document_weight": math.nan}, "CONTEXT_WEIGHT_OUT_OF_RANGE"),
                ({"spans": spans((5, 5))}, "SPAN_INVALID"),
                ({"spans": spans((9, 5))}, "SPAN_INVALID"),
                ({"spans": spans((0, len(TEXT) + 1))}, "SPAN_INVALID"),
                ({"mechanism": "independent", "outputs": [HEAD_WEIGHTS]},
                 "OUTPUT_UNAVAILABLE")):
            with self.subTest(**options):
                info, message = self.assert_fails(
                    INVALID, reason,
                    lambda options=options: wire.encode(connection, TEXT,
                                                        **options))
                if reason == "MERGE_UNKNOWN":
                    self.assertEqual(info.metadata["known"],
                                     "gate, lse, balanced_lse")
                    self.assertIn("balanced_lse", message)
                self.assert_fails(
                    INVALID, reason,
                    lambda options=options: wire.encode_stream(
                        connection, [TEXT], **options))


class SpansTest(RetrievalCase):

    def test_spans_come_back_in_order_of_their_ends(self):
        given = [(40, 300), (0, 9), (len(TEXT) - 30, len(TEXT)), (11, 12),
                 (0, len(TEXT))]
        encoded = self.both(spans=spans(*given), outputs=[DOCUMENT])
        ends = [span.end_byte for span in encoded.span_vectors]
        self.assertEqual(ends, sorted(ends))
        self.assertEqual(sorted(span.index for span in encoded.span_vectors),
                         list(range(len(given))))
        for span in encoded.span_vectors:
            self.assertEqual((span.begin_byte, span.end_byte),
                             given[span.index])
            self.assertLess(span.begin_token, span.end_token)
            vector = wire.floats(span.vector)
            self.assertEqual(len(vector), HIDDEN)
            # This model does not scale its vectors.
            self.assertAlmostEqual(math.hypot(*vector), span.norm, places=4)
            self.assertFalse(span.HasField("context_mix"))
        # A long list is not sent back.
        self.assertFalse(encoded.summary.options.spans)

    def test_a_span_of_one_chunk_is_the_mean_of_its_tokens(self):
        plain = self.both(outputs=[encoder_pb.OUTPUT_TOKEN_VECTORS])
        begin, end, first, last = plain.spans[2]
        encoded = self.both(spans=spans((begin, end)), outputs=[CHUNKS])
        (span,) = encoded.span_vectors
        self.assertEqual((span.begin_token, span.end_token), (first, last))
        rows = [plain.token_vectors[token * HIDDEN:(token + 1) * HIDDEN]
                for token in range(first, last)]
        mean = [sum(column) / len(rows) for column in zip(*rows)]
        self.assertAlmostEqual(span.norm, math.hypot(*mean), places=3)
        self.assert_close(list(wire.floats(span.vector)), mean, "span")

    def test_command_takes_and_gives_spans(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "text").write_bytes(TEXT)
            (folder / "spans").write_text("40 300\n0 9\n")
            shown = json.loads(programs.run_client(
                server, "encode", folder / "text", "--spans", folder / "spans",
                "--span", "11:12", "--output", "json"))
        encoded = wire.encode(connection, TEXT,
                              spans=spans((40, 300), (0, 9), (11, 12)))
        self.assertEqual([span["index"] for span in shown["span_vectors"]],
                         [span.index for span in encoded.span_vectors])
        for ours, message in zip(shown["span_vectors"], encoded.span_vectors):
            self.assert_close(ours["vector"], list(wire.floats(message.vector)),
                              "span vectors")

    def test_token_ids_have_no_spans(self):
        request = encoder_pb.EncodeRequest(
            options=encoder_pb.EncodeOptions(spans=spans((0, 1))),
            token_ids=encoder_pb.TokenIds(ids=[7, 8, 9]))
        self.assert_fails(INVALID, "TEXT_NEEDED",
                          lambda: connection.encoder.Encode(request,
                                                            timeout=60))

    def test_batch_carries_spans_and_weights(self):
        request = encoder_pb.EncodeRequest(
            options=encoder_pb.EncodeOptions(
                spans=spans((0, 9)), outputs=[CHUNKS, HEAD_WEIGHTS]),
            text=TEXT)
        (answer,) = connection.encoder.EncodeBatch(
            iter([encoder_pb.EncodeBatchRequest(request=request)]),
            timeout=wire.CALL_SECONDS)
        single = connection.encoder.Encode(request, timeout=wire.CALL_SECONDS)
        self.assertEqual(len(answer.response.span_vectors), 1)
        self.assertEqual(answer.response.span_vectors, single.span_vectors)
        self.assertEqual(answer.response.head_retrieval_weights,
                         single.head_retrieval_weights)


class ContextTest(RetrievalCase):

    def test_mix_says_what_was_added(self):
        for visibility in (CAUSAL, TWO_PASS):
            with self.subTest(visibility=visibility):
                self.check_mix(visibility)

    def check_mix(self, visibility):
        options = {"visibility": visibility, "outputs": [DOCUMENT, CHUNKS]}
        plain = self.both(**options)
        encoded = self.both(anchor_weight=0.5, document_weight=-0.25,
                            spans=spans((0, 50)), **options)
        count = len(plain.chunks)
        vectors = [wire.floats(chunk.vector) for chunk in plain.chunks]
        for chunk, own in zip(encoded.chunks, vectors):
            mix = chunk.context_mix
            self.assertEqual(
                (mix.anchor_weight, mix.anchor_chunk, mix.document_weight,
                 mix.document_chunks), (0.5, 0, -0.25, count))
            self.assert_mixed(list(wire.floats(chunk.vector)), own, vectors,
                              mix)
        (span,) = encoded.span_vectors
        self.assertTrue(span.HasField("context_mix"))
        self.assertFalse(plain.chunks[0].HasField("context_mix"))

    def assert_mixed(self, actual, own, vectors, mix):
        """The sum of the three, each of length 1, as long as the own one."""
        seen = [unit(vector) for vector in vectors[:mix.document_chunks]]
        document = [sum(column) / len(seen) for column in zip(*seen)]
        mixed = unit([a + mix.anchor_weight * b + mix.document_weight * c
                      for a, b, c in zip(unit(own),
                                         unit(vectors[mix.anchor_chunk]),
                                         document)])
        self.assert_close(actual, [math.hypot(*own) * x for x in mixed], "mix")


if __name__ == "__main__":
    unittest.main(verbosity=2)
