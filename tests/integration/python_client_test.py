"""longhand-server as gRPC's Python library sees it, with the default model.

The document is a real one, see CMakeLists.txt; where one text goes through the
server in several ways its first VARIANT_BYTES are taken.
"""

import json
import random
import tempfile
import unittest

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc

import documents
import programs
import wire
import wire_case
from wire import encoder_pb, model_pb

SERVICES = ("", "longhand.v1.EncoderService", "longhand.v1.ModelService")
CAUSAL = encoder_pb.VISIBILITY_CAUSAL
BIDIRECTIONAL = encoder_pb.VISIBILITY_BIDIRECTIONAL
VARIANT_BYTES = 200_000


def setUpModule():  # pylint: disable=invalid-name
    global server, connection, document  # pylint: disable=global-statement
    document = documents.read_document(VARIANT_BYTES)
    server, connection = wire_case.start_server(programs.MODEL_DIR)


def tearDownModule():  # pylint: disable=invalid-name
    wire_case.check_and_stop(server, connection)


class ModelTest(wire_case.WireCase):

    def test_health(self):
        health = health_pb2_grpc.HealthStub(connection.channel)
        for service in SERVICES:
            answer = health.Check(
                health_pb2.HealthCheckRequest(service=service), timeout=60)
            self.assertEqual(answer.status,
                             health_pb2.HealthCheckResponse.SERVING, service)
        with self.assertRaises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="other"),
                         timeout=60)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_health_by_the_command(self):
        for service in SERVICES:
            self.assertEqual(programs.run_client(server, "health", "--service",
                                                 service), b"SERVING\n")
        with self.assertRaisesRegex(AssertionError,
                                    "exited with 1.*SERVICE_UNKNOWN"):
            programs.run_client(server, "health", "--service", "other")

    def test_get_model(self):
        model = connection.models.GetModel(model_pb.GetModelRequest(),
                                           timeout=60).model
        config = json.loads((programs.MODEL_DIR / "config.json").read_text())
        self.assertEqual(model.name, programs.MODEL_DIR.name)
        self.assertEqual(model.family, config["model_type"])
        self.assertEqual(model.hidden_size, config["hidden_size"])
        self.assertEqual(model.layer_count, config["num_hidden_layers"])
        self.assertEqual(model.head_count, config["num_attention_heads"])
        self.assertEqual(model.vocab_size, config["vocab_size"])
        self.assertEqual(model.max_chunk_tokens,
                         config["max_position_embeddings"])
        self.assertEqual(model.special_tokens_per_chunk, 2)
        self.assertRegex(model.fingerprint, "^[0-9a-f]{64}$")
        self.assertEqual(model.precision.effective, "fp32")
        self.assertLessEqual({"bsbr", "independent"}, set(model.mechanisms))
        self.assertLessEqual({"mean", "cls", "max"}, set(model.poolings))
        self.assertIn("fixed", model.chunkers)
        self.assertTrue(model.normalized)
        self.assertEqual(model.limits.max_message_bytes, 4 << 20)
        self.assertEqual(model.limits.max_document_bytes, 64 << 20)
        self.assertGreater(model.limits.max_working_bytes, 0)
        self.assertGreater(model.limits.max_concurrent_documents, 0)
        self.assertGreater(model.runtime.worker_count, 0)
        options = model.default_options
        self.assertEqual((options.mechanism, options.visibility,
                          options.chunker, options.chunk_tokens),
                         ("bsbr", CAUSAL, "fixed", 128))
        self.assertTrue(0 < options.gate < 1)
        by_name = connection.models.GetModel(
            model_pb.GetModelRequest(name=model.name), timeout=60).model
        self.assertEqual(by_name, model)

    def test_tokenize_is_what_the_client_shows(self):
        text = documents.beginning(document, 30_000)
        answer = connection.models.Tokenize(
            model_pb.TokenizeRequest(text=text, include_tokens=True),
            timeout=wire.CALL_SECONDS)
        ours = [dict(zip(("id", "begin_byte", "end_byte", "token"), token))
                for token in zip(answer.ids, answer.begin_bytes,
                                 answer.end_bytes, answer.tokens, strict=True)]
        self.assertGreater(len(ours), 3000)
        shown = json.loads(programs.run_client(
            server, "tokenize", "-", "--output", "json", stdin=text))
        self.assertEqual(ours, shown)


class EncodeTest(wire_case.WireCase):

    def test_command_streams_and_unary_give_the_same(self):
        text = documents.beginning(document, VARIANT_BYTES)
        rng = random.Random(1)
        for visibility, name in ((CAUSAL, "causal"),
                                 (BIDIRECTIONAL, "bidirectional")):
            with self.subTest(name):
                pieces = documents.random_pieces(text, rng, 100_000)
                streamed = wire.encode_stream(connection, pieces,
                                              visibility=visibility)
                self.assert_whole(streamed, text)
                self.assert_same(streamed, wire.encode(
                    connection, text, visibility=visibility))
                if visibility == CAUSAL:
                    self.assert_same(streamed, self.by_command(text, name))

    def by_command(self, text, visibility):
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            return wire.from_json(json.loads(programs.run_client(
                server, "encode", file.name, "--output", "json",
                "--visibility", visibility)))

    def test_small_pieces_and_all_outputs(self):
        # From its middle, where the document has characters of many lengths.
        middle = document.index("“".encode(), len(document) // 2)
        text = documents.beginning(document[middle:], 6000)
        rng = random.Random(2)
        outputs = [encoder_pb.OUTPUT_DOCUMENT_VECTOR,
                   encoder_pb.OUTPUT_CHUNK_VECTORS,
                   encoder_pb.OUTPUT_TOKEN_VECTORS,
                   encoder_pb.OUTPUT_RETRIEVAL_WEIGHTS]
        for visibility in (CAUSAL, BIDIRECTIONAL):
            options = {"visibility": visibility, "outputs": outputs}
            whole = wire.encode(connection, text, **options)
            self.assert_whole(whole, text)
            chunks = len(whole.spans)
            self.assertEqual(len(whole.tokens), whole.summary.received_tokens)
            self.assertEqual(len(whole.weights),
                             chunks * chunks if visibility == BIDIRECTIONAL
                             else chunks * (chunks + 1) // 2)
            for longest in (1, 7, 40):
                with self.subTest(visibility=visibility, longest=longest):
                    pieces = documents.random_pieces(text, rng, longest)
                    self.assertGreater(documents.inside_characters(pieces), 0)
                    self.assert_same(wire.encode_stream(
                        connection, pieces, **options), whole)

    def test_visibility_and_gate_reach_the_mechanism(self):
        text = documents.beginning(document, 4000)
        vectors = [wire.encode(connection, text, **options).vectors
                   for options in ({"visibility": CAUSAL},
                                   {"visibility": BIDIRECTIONAL},
                                   {"gate": 0.9}, {"mechanism": "independent"})]
        for i, one in enumerate(vectors):
            for other in vectors[:i]:
                difference = max(map(abs, map(float.__sub__, one, other)))
                self.assertGreater(difference, 100 * wire_case.TOLERANCE)
        self.assert_close(wire.encode(connection, text, gate=0).vectors,
                          vectors[3], "gate 0 and independent chunks")

    def test_token_ids_give_what_the_text_gives(self):
        text = documents.beginning(document, 4000)
        ids = connection.models.Tokenize(
            model_pb.TokenizeRequest(text=text), timeout=60).ids
        request = encoder_pb.EncodeRequest(
            token_ids=encoder_pb.TokenIds(ids=ids))
        by_ids = wire.from_response(connection.encoder.Encode(
            request, timeout=wire.CALL_SECONDS))
        by_text = wire.encode(connection, text)
        self.assertEqual([span[2:] for span in by_ids.spans],
                         [span[2:] for span in by_text.spans])
        self.assert_close(by_ids.vectors, by_text.vectors, "vectors")

    def test_batch_of_mixed_documents(self):
        rng = random.Random(3)
        requests, bad = self.mixed_requests(rng)
        answers = {}
        for answer in connection.encoder.EncodeBatch(
                iter([encoder_pb.EncodeBatchRequest(correlation_id=key,
                                                    request=request)
                      for key, request in requests.items()]),
                timeout=wire.CALL_SECONDS):
            self.assertNotIn(answer.correlation_id, answers)
            answers[answer.correlation_id] = answer
        self.assertEqual(set(answers), set(requests))
        for key, request in requests.items():
            answer = answers[key]
            if key in bad:
                self.assertEqual(answer.WhichOneof("result"), "error")
                self.assert_error(answer.error, *bad[key])
            else:
                self.assertEqual(answer.WhichOneof("result"), "response")
                self.assert_same(
                    wire.from_response(answer.response),
                    wire.from_response(connection.encoder.Encode(
                        request, timeout=wire.CALL_SECONDS)))

    def mixed_requests(self, rng):
        """50 requests by correlation id; {id: (code, reason)} of bad ones."""
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        options = encoder_pb.EncodeOptions
        bad_requests = [
            ({"text": b"caf\xe9"}, (invalid, "INVALID_UTF8")),
            ({"text": b""}, (invalid, "EMPTY_DOCUMENT")),
            ({"text": b" \n\t "}, (invalid, "EMPTY_DOCUMENT")),
            ({}, (invalid, "CONTENT_MISSING")),
            ({"text": b"a", "options": options(mechanism="magic")},
             (invalid, "UNKNOWN_MECHANISM")),
            ({"text": b"a", "options": options(model="other")},
             (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")),
        ]
        requests, bad = {}, {}
        for _ in range(50):
            key = rng.getrandbits(64)
            if rng.random() < 0.3:
                fields, bad[key] = rng.choice(bad_requests)
            else:
                begin = rng.randrange(len(document) - 2000)
                size = rng.choice([1, 5, 40, 200, 800])
                fields = {"text": b"x" + document[begin:begin + size].decode(
                    errors="ignore").encode()}
            requests[key] = encoder_pb.EncodeRequest(**fields)
        self.assertEqual(len({reason for _, reason in bad.values()}), 5)
        return requests, bad


class EndingTest(wire_case.WireCase):
    """Documents that end early give back what they hold."""

    def open_stream(self):
        """Begins to stream the document over its own connection.

        Without a document_weight, so that chunks come before it has ended.
        """
        own = wire.Connection(server.address)
        self.addCleanup(own.close)
        call = own.encoder.EncodeStream(
            wire.stream_requests(documents.random_pieces(
                document, random.Random(4), 100_000), document_weight=0),
            timeout=wire.CALL_SECONDS)
        for response in call:
            if response.WhichOneof("payload") == "chunk":
                break
        self.assertEqual(server.open_documents(), 1)
        return own, call

    def assert_all_closed(self):
        programs.wait_until(lambda: server.open_documents() == 0,
                            "the document to be closed")
        health = health_pb2_grpc.HealthStub(connection.channel)
        self.assertEqual(
            health.Check(health_pb2.HealthCheckRequest(), timeout=60).status,
            health_pb2.HealthCheckResponse.SERVING)

    def wasted_tokens(self, cause):
        return server.metrics()[
            f'longhand_wasted_tokens_total{{cause="{cause}"}}']

    def test_cancelled_stream(self):
        wasted = self.wasted_tokens("cancelled")
        _, call = self.open_stream()
        call.cancel()
        self.assert_all_closed()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.assertGreater(self.wasted_tokens("cancelled"), wasted)

    def test_connection_that_goes_away(self):
        own, _ = self.open_stream()
        own.close()
        self.assert_all_closed()

    def test_cancelled_unary_call(self):
        request = encoder_pb.EncodeRequest(text=document)
        call = connection.encoder.Encode.future(request,
                                                timeout=wire.CALL_SECONDS)
        programs.wait_until(lambda: server.open_documents() == 1,
                            "the document to be opened")
        call.cancel()
        self.assert_all_closed()

    def test_deadlines(self):
        # The first passes before the server has all of the document, the other
        # while it computes.
        request = encoder_pb.EncodeRequest(text=document)
        for seconds in (0.001, 2):
            with self.assertRaises(grpc.RpcError) as caught:
                connection.encoder.Encode(request, timeout=seconds)
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.DEADLINE_EXCEEDED)
            self.assert_all_closed()


if __name__ == "__main__":
    unittest.main(verbosity=2)
