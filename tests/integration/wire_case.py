"""What the tests of the wire share: their server and their assertions."""

import math
import unittest

import grpc

import programs
import wire

# What other batch sizes may change in the last bits.
TOLERANCE = 1e-5


def start_server(model, *flags):
    """For setUpModule: (server, connection), closed with the module."""
    server = programs.Server(model, *flags)
    server.__enter__()
    unittest.addModuleCleanup(server.__exit__, None, None, None)
    connection = wire.Connection(server.wait_until_ready().address)
    unittest.addModuleCleanup(connection.close)
    return server, connection


def check_and_stop(server, connection):
    """After all of it the server holds nothing, serves, and ends well."""
    programs.wait_until(lambda: server.open_documents() == 0,
                        "the last document to be closed")
    wire.encode(connection, b"still there")
    exit_code = server.stop()
    if exit_code != 0:
        raise AssertionError(f"exit code {exit_code}:\n{server.log()[-4000:]}")


class WireCase(unittest.TestCase):

    def assert_close(self, actual, expected, what):
        self.assertEqual(len(actual), len(expected), what)
        worst = max(map(abs, map(float.__sub__, actual, expected)), default=0)
        # Written so that NaN fails.
        self.assertTrue(worst <= TOLERANCE, f"{what} differ by {worst}")

    def assert_same(self, actual, expected):
        self.assertEqual(actual.spans, expected.spans)
        self.assertEqual(actual.tokens, expected.tokens)
        for what in ("vectors", "document_vector", "weights", "token_vectors"):
            self.assert_close(getattr(actual, what), getattr(expected, what),
                              what)

    def assert_error(self, status, code, reason):
        """Checks a google.rpc.Status; returns its ErrorInfo."""
        self.assertIsNotNone(status, "no grpc-status-details-bin")
        self.assertEqual(status.code, code.value[0], status)
        self.assertGreater(len(status.message), 10)
        info = wire.error_info(status)
        self.assertIsNotNone(info, status)
        self.assertEqual((info.reason, info.domain), (reason, "longhand"))
        return info

    def assert_fails(self, code, reason, call):
        """`call` fails as said; returns (ErrorInfo, message)."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code(), code, error)
        status = wire.rpc_status(error)
        info = self.assert_error(status, code, reason)
        self.assertEqual(status.message, error.details())
        return info, status.message

    def assert_whole(self, encoded, text):
        """Every byte and token is in one chunk; the numbers agree."""
        summary = encoded.summary
        byte, token = 0, 0
        for span in encoded.spans:
            self.assertEqual((span[0], span[2]), (byte, token))
            self.assertLess(byte, span[1])
            self.assertLess(token, span[3])
            byte, token = span[1], span[3]
        self.assertEqual(byte, len(text))
        self.assertEqual(summary.received_bytes, len(text))
        self.assertEqual(summary.received_tokens, token)
        self.assertEqual(summary.chunk_count, len(encoded.spans))
        self.assertEqual(summary.encoded_tokens,
                         token + 2 * len(encoded.spans))
        self.assertEqual(len(encoded.vectors),
                         summary.hidden_size * len(encoded.spans))
        norm = math.hypot(*encoded.document_vector)
        self.assertAlmostEqual(norm, 1, places=4)
