"""SIGTERM while many streams are open, some of them at work.

What single calls see of a drain is in tests/server/session_drain_test.cc, what
a second signal does in tests/server/server_process_test.cc.
"""

import threading
import unittest

from grpc_health.v1 import health_pb2, health_pb2_grpc

import hostile
import http2_peer
import programs
import session_wire
import wire
from wire import encoder_pb, session_pb

STREAMS = 25  # of each kind
DRAIN_SECONDS = 60


def token_ids(count):
    return encoder_pb.TokenIds(ids=[10] * count)


class Document(threading.Thread):
    """An EncodeStream that sends its second half when it is told to."""

    def __init__(self, connection, size):
        super().__init__()
        self.size = size
        self.go_on = threading.Event()
        self.result = None
        self.error = None
        self._connection = connection

    def _requests(self):
        yield encoder_pb.EncodeStreamRequest(
            config=encoder_pb.EncodeOptions())
        yield encoder_pb.EncodeStreamRequest(token_ids=token_ids(self.size))
        self.go_on.wait()
        yield encoder_pb.EncodeStreamRequest(token_ids=token_ids(self.size))

    def run(self):
        try:
            for response in self._connection.encoder.EncodeStream(
                    self._requests(), timeout=wire.CALL_SECONDS):
                if response.WhichOneof("payload") == "result":
                    self.result = response.result
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class Appending:
    """An AppendSession stream with one append, that stays open."""

    def __init__(self, connection, size):
        self._done = threading.Event()
        session = session_wire.create(connection)
        self._responses = connection.sessions.AppendSession(
            self._requests(session, size), timeout=wire.CALL_SECONDS)
        self.committed = self._next("result").result.committed_offset

    def _requests(self, session, size):
        request = session_wire.Append(0, b"").request(session)
        request.token_ids.CopyFrom(token_ids(size))
        yield request
        self._done.wait()

    def _next(self, kind):
        for response in self._responses:
            if response.WhichOneof("payload") == kind:
                return response
        raise AssertionError(f"the stream ended without a {kind}")

    def notice(self):
        """The DrainNotice, after which the stream ends well."""
        notice = self._next("drain").drain
        rest = list(self._responses)
        self._done.set()
        if rest:
            raise AssertionError(f"{rest} came after the notice")
        return notice


class ShutdownTest(unittest.TestCase):

    def start(self, *flags):
        server = self.enterContext(programs.Server(
            hostile.MODEL, "--without-tokenizer", "--workers", "1", *flags))
        connection = wire.Connection(server.wait_until_ready().address)
        self.addCleanup(connection.close)
        return server, connection

    def test_fifty_streams(self):
        server, connection = self.start(
            "--drain-delay-seconds", "1", "--drain-timeout-seconds",
            str(DRAIN_SECONDS))
        # More than one connection lets open at a time.
        other = wire.Connection(server.address)
        self.addCleanup(other.close)
        documents = [Document(connection, 300 + i) for i in range(STREAMS)]
        for document in documents:
            self.addCleanup(document.go_on.set)
            document.start()
        appending = [Appending(other, 40 + i) for i in range(STREAMS)]
        programs.wait_until(
            lambda: server.open_documents() == STREAMS, "the documents")
        watched = health_pb2_grpc.HealthStub(connection.channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=wire.CALL_SECONDS)
        serving = health_pb2.HealthCheckResponse
        self.assertEqual(next(watched).status, serving.SERVING)
        server.send_signal(15)
        self.assertEqual(next(watched).status, serving.NOT_SERVING)
        # It is a call like others, which the drain would wait for.
        watched.cancel()
        hostile.encode(connection)  # others may not have heard yet
        for document in documents:
            document.go_on.set()
        for document in documents:
            document.join()
            self.assertIsNone(document.error)
            self.assertEqual(document.result.summary.received_tokens,
                             2 * document.size)
        for stream in appending:
            notice = stream.notice()
            self.assertEqual(notice.resume_offset, stream.committed)
        self.assertEqual(server.wait(), 0)
        self.assertIn('"drained"', server.log())

    def test_clients_that_hold_on(self):
        """One sends no end, one reads nothing: cut off when the time is
        over."""
        server, connection = self.start("--drain-timeout-seconds", "1")
        document = Document(connection, 300)
        self.addCleanup(document.go_on.set)
        document.start()
        with http2_peer.Peer(server.address) as peer:
            stream = peer.open(http2_peer.ENCODE_STREAM)
            options = encoder_pb.EncodeOptions(
                outputs=[encoder_pb.OUTPUT_TOKEN_VECTORS], document_weight=0)
            for message in ({"config": options},
                            *[{"token_ids": token_ids(20_000)}] * 20):
                peer.send_data(stream, http2_peer.grpc_message(
                    encoder_pb.EncodeStreamRequest(
                        **message).SerializeToString()))
            programs.wait_until(lambda: server.open_documents() == 2,
                                "the documents")
            server.send_signal(15)
            self.assertEqual(server.wait(), 0)
        document.go_on.set()
        document.join()
        self.assertIsNotNone(document.error)

    def test_sessions_go_on_after_a_restart(self):
        """What the notice says is durable is there."""
        folder = self.enterContext(hostile.temporary_folder())
        flags = ("--session-store", "rocksdb", "--session-dir",
                 str(folder / "sessions"))
        server, connection = self.start(*flags)
        session = session_wire.create(connection)
        request = session_wire.Append(0, b"").request(session)
        request.token_ids.CopyFrom(token_ids(500))
        done = threading.Event()
        self.addCleanup(done.set)

        def requests():
            yield request
            done.wait()
        responses = connection.sessions.AppendSession(
            requests(), timeout=wire.CALL_SECONDS)
        notice = None
        for response in responses:
            kind = response.WhichOneof("payload")
            if kind == "result":
                server.send_signal(15)
            elif kind == "drain":
                notice = response.drain
        self.assertEqual(server.wait(), 0)
        self.assertIsNotNone(notice)
        server, connection = self.start(*flags)
        info = connection.sessions.GetSession(
            session_pb.GetSessionRequest(session_id=session),
            timeout=wire.CALL_SECONDS).session
        self.assertEqual(info.committed_offset, notice.resume_offset)
        self.assertEqual(info.state_digest, notice.state_digest)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
