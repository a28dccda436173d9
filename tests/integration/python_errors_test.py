"""What longhand-server answers to input that it cannot encode.

Through gRPC's Python library, with the tiny model. Every error has its
canonical code and a google.rpc.ErrorInfo whose reason is stable.
"""

import pathlib
import tempfile
import threading
import unittest

import grpc

import programs
import tiny_model
import wire
import wire_case
from wire import encoder_pb, model_pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
MAX_DOCUMENT_BYTES = 20_000
MAX_DOCUMENTS = 4  # two of them streams
MAX_STREAMS = 2
VOCAB_SIZE = 300


def setUpModule():  # pylint: disable=invalid-name
    global server, connection  # pylint: disable=global-statement
    folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(folder.cleanup)
    model = tiny_model.make_tiny_model(pathlib.Path(folder.name) / "tiny",
                                       programs.TESTDATA_DIR)
    server, connection = wire_case.start_server(
        model, "--max-document-bytes", str(MAX_DOCUMENT_BYTES),
        "--max-concurrent-documents", str(MAX_DOCUMENTS),
        "--max-queued-requests", "1", "--max-message-bytes", "64KiB")


def tearDownModule():  # pylint: disable=invalid-name
    wire_case.check_and_stop(server, connection)


def stream(*messages):
    """Sends EncodeStream messages, given as their fields; returns answers."""
    requests = [encoder_pb.EncodeStreamRequest(**fields) for fields in messages]
    return list(connection.encoder.EncodeStream(iter(requests),
                                                timeout=wire.CALL_SECONDS))


CONFIG = {"config": encoder_pb.EncodeOptions()}


class ErrorsTest(wire_case.WireCase):

    def setUp(self):
        self.released = threading.Event()
        self.addCleanup(self.released.set)

    def assert_both_fail(self, code, reason, text, **options):
        """As a unary call and as a stream; returns the stream's ErrorInfo."""
        self.assert_fails(code, reason,
                          lambda: wire.encode(connection, text, **options))
        info, _ = self.assert_fails(
            code, reason,
            lambda: wire.encode_stream(connection, [text], **options))
        return info

    def test_text_that_is_not_utf8(self):
        for text, offset in [
            (b"\xff", 0),
            (b"caf\xe9 au lait", 3),  # Latin-1
            (b"abc\xc0\xaf", 3),  # overlong
            (b"ab\xed\xa0\x80", 2),  # surrogate
            (b"a\xf4\x90\x80\x80", 1),  # above U+10FFFF
            (b"x" * 5000 + b"\x80", 5000),
            ("déjà".encode()[:-1], 4),  # ends inside a character
        ]:
            with self.subTest(text[:12]):
                info = self.assert_both_fail(INVALID, "INVALID_UTF8", text)
                self.assertEqual(info.metadata["byte_offset"], str(offset))
        info, _ = self.assert_fails(
            INVALID, "INVALID_UTF8",
            lambda: connection.models.Tokenize(
                model_pb.TokenizeRequest(text=b"ab\xff"), timeout=60))
        self.assertEqual(info.metadata["byte_offset"], "2")

    def test_offsets_count_from_the_first_piece(self):
        pieces = ["é".encode() * 100, b"\xc3", b"\xa9ok", b"\xc3", b"x"]
        info, _ = self.assert_fails(
            INVALID, "INVALID_UTF8",
            lambda: wire.encode_stream(connection, pieces))
        self.assertEqual(info.metadata["byte_offset"], "204")

    def test_documents_without_a_token(self):
        for text in (b"", b" ", b"\n\t\r\n", "\u200b\ufeff".encode()):
            with self.subTest(text):
                self.assert_both_fail(INVALID, "EMPTY_DOCUMENT", text)
        no_ids = encoder_pb.TokenIds()
        self.assert_fails(INVALID, "EMPTY_DOCUMENT", lambda: stream(
            CONFIG, {"token_ids": no_ids}))
        self.assert_fails(INVALID, "EMPTY_DOCUMENT", lambda: stream(CONFIG))
        self.assert_fails(
            INVALID, "EMPTY_DOCUMENT", lambda: connection.models.Tokenize(
                model_pb.TokenizeRequest(text=b""), timeout=60))

    def test_requests_without_content(self):
        self.assert_fails(
            INVALID, "CONTENT_MISSING", lambda: connection.encoder.Encode(
                encoder_pb.EncodeRequest(), timeout=60))
        self.assert_fails(INVALID, "CONTENT_MISSING",
                          lambda: stream(CONFIG, {}))

    def test_text_and_ids_in_one_document(self):
        ids = encoder_pb.TokenIds(ids=[7])
        for messages in (({"text": b"a"}, {"token_ids": ids}),
                         ({"token_ids": ids}, {"text": b"a"})):
            self.assert_fails(INVALID, "MIXED_CONTENT",
                              lambda m=messages: stream(CONFIG, *m))

    def test_streams_without_or_with_two_configs(self):
        self.assert_fails(INVALID, "CONFIG_EXPECTED",
                          lambda: stream({"text": b"a"}))
        self.assert_fails(INVALID, "CONFIG_EXPECTED", lambda: stream({}))
        self.assert_fails(INVALID, "CONFIG_EXPECTED", stream)
        self.assert_fails(INVALID, "CONFIG_REPEATED",
                          lambda: stream(CONFIG, {"text": b"a"}, CONFIG))

    def test_options_that_do_not_exist(self):
        for options, reason in [
            ({"visibility": 99}, "VISIBILITY_UNKNOWN"),
            ({"visibility": -1}, "VISIBILITY_UNKNOWN"),
            ({"outputs": [99]}, "OUTPUT_UNKNOWN"),
            ({"outputs": [0]}, "OUTPUT_UNKNOWN"),
            ({"mechanism": "magic"}, "UNKNOWN_MECHANISM"),
            ({"mechanism": "x" * 5000}, "UNKNOWN_MECHANISM"),
            ({"chunker": "magic"}, "UNKNOWN_CHUNKER"),
            ({"pooling": "magic"}, "UNKNOWN_POOLING"),
            ({"gate": float("nan")}, "GATE_OUT_OF_RANGE"),
            ({"gate": float("inf")}, "GATE_OUT_OF_RANGE"),
            ({"gate": -0.1}, "GATE_OUT_OF_RANGE"),
            ({"gate": 1.1}, "GATE_OUT_OF_RANGE"),
            ({"chunk_tokens": 0}, "CHUNK_TOKENS_OUT_OF_RANGE"),
            ({"chunk_tokens": 2}, "CHUNK_TOKENS_OUT_OF_RANGE"),
            ({"chunk_tokens": 257}, "CHUNK_TOKENS_OUT_OF_RANGE"),
            ({"chunk_tokens": 2**32 - 1}, "CHUNK_TOKENS_OUT_OF_RANGE"),
            ({"mechanism": "independent",
              "outputs": [encoder_pb.OUTPUT_RETRIEVAL_WEIGHTS]},
             "OUTPUT_UNAVAILABLE"),
        ]:
            with self.subTest(str(options)[:60]):
                self.assert_both_fail(INVALID, reason, b"text", **options)
        wire.encode(connection, b"text", chunk_tokens=3, gate=1)
        wire.encode(connection, b"text", chunk_tokens=256, gate=0)

    def test_models_that_are_not_served(self):
        missing = grpc.StatusCode.NOT_FOUND
        self.assert_both_fail(missing, "MODEL_NOT_FOUND", b"a", model="other")
        self.assert_fails(
            missing, "MODEL_NOT_FOUND", lambda: connection.models.GetModel(
                model_pb.GetModelRequest(name="other"), timeout=60))
        self.assert_fails(
            missing, "MODEL_NOT_FOUND", lambda: connection.models.Tokenize(
                model_pb.TokenizeRequest(model="other", text=b"a"), timeout=60))

    def test_ids_outside_the_vocabulary(self):
        for bad in (VOCAB_SIZE, 2**31 - 1, 2**31, 2**32 - 1):
            ids = encoder_pb.TokenIds(ids=[5, VOCAB_SIZE - 1, bad])
            for call in (
                    lambda i=ids: connection.encoder.Encode(
                        encoder_pb.EncodeRequest(token_ids=i), timeout=60),
                    lambda i=ids: stream(CONFIG, {"token_ids": i})):
                info, _ = self.assert_fails(INVALID, "TOKEN_ID_OUT_OF_RANGE",
                                            call)
                self.assertEqual(info.metadata["position"], "2")
                self.assertEqual(info.metadata["id"], str(bad))

    def test_documents_over_the_limit(self):
        limit = str(MAX_DOCUMENT_BYTES)
        too_long = b"word " * (MAX_DOCUMENT_BYTES // 5) + b"x"
        info, message = self.assert_fails(
            EXHAUSTED, "DOCUMENT_TOO_LONG",
            lambda: wire.encode(connection, too_long))
        for text in (limit, str(len(too_long))):
            self.assertIn(text, message)
        self.assertEqual(info.metadata["limit_bytes"], limit)
        self.assertEqual(info.metadata["length_bytes"], str(len(too_long)))
        self.assert_fails(
            EXHAUSTED, "DOCUMENT_TOO_LONG", lambda: wire.encode_stream(
                connection, [too_long[:-1], b"x", b"more" * 1000]))
        whole = wire.encode_stream(connection, [too_long[:-1]])
        self.assertEqual(whole.summary.received_bytes, MAX_DOCUMENT_BYTES)

    def test_messages_over_the_limit(self):
        # gRPC itself refuses them, before there is anything to say of ours.
        with self.assertRaises(grpc.RpcError) as caught:
            wire.encode(connection, b"x" * (65 << 10))
        self.assertEqual(caught.exception.code(), EXHAUSTED)
        self.assertIn(str(64 << 10), caught.exception.details())
        with self.assertRaises(grpc.RpcError) as caught:
            wire.encode_stream(connection, [b"x" * (65 << 10)])
        self.assertEqual(caught.exception.code(), EXHAUSTED)

    def test_responses_over_the_limit(self):
        options = {"outputs": [encoder_pb.OUTPUT_TOKEN_VECTORS]}
        text = b"words " * 300
        info, message = self.assert_fails(
            EXHAUSTED, "RESPONSE_TOO_LARGE",
            lambda: wire.encode(connection, text, **options))
        self.assertEqual(info.metadata["limit_bytes"], str(64 << 10))
        self.assertIn("EncodeStream", message)
        encoded = wire.encode_stream(connection, [text], **options)
        self.assertEqual(len(encoded.tokens), encoded.summary.received_tokens)

    def test_more_documents_than_places(self):
        def begin():
            return connection.encoder.EncodeStream(
                self.begin_then_wait(), timeout=wire.CALL_SECONDS)

        def queued():
            return server.metrics()[
                'longhand_admission_queue_entries{class="stream"}']

        held = [begin() for _ in range(MAX_STREAMS)]
        programs.wait_until(
            lambda: server.open_documents() == MAX_STREAMS, "the documents")
        held.append(begin())
        programs.wait_until(lambda: queued() == 1, "the one that waits")
        info, _ = self.assert_fails(
            grpc.StatusCode.UNAVAILABLE, "OVERLOADED",
            lambda: wire.encode_stream(connection, [b"a"]))
        self.assertGreater(int(info.metadata["retry_after_ms"]), 0)
        # Others have places of their own.
        wire.encode(connection, b"a")
        held[0].cancel()
        programs.wait_until(
            lambda: queued() == 0 and server.open_documents() == MAX_STREAMS,
            "its turn")
        for call in held[1:]:
            call.cancel()
        programs.wait_until(lambda: server.open_documents() == 0, "the end")

    def begin_then_wait(self):
        yield encoder_pb.EncodeStreamRequest(**CONFIG)
        yield encoder_pb.EncodeStreamRequest(text=b"the beginning")
        self.released.wait()


if __name__ == "__main__":
    unittest.main(verbosity=2)
