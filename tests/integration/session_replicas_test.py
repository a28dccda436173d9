"""Two servers and one shared store: whatever happens to one, the other goes on
with the same bits."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import programs
import session_wire
import wire
import wire_case

# ASCII, so that it may be cut anywhere for a whole encoding too.
TEXT = pathlib.Path(os.environ["INTEGRATION_DOCUMENT"]).read_text(
    encoding="utf-8").encode("ascii", "ignore")[:20_000]
LEASE_SECONDS = 2


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class SessionReplicasTest(wire_case.WireCase):

    def setUp(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        self.assertIsNotNone(program, "redis-server is missing: tools/setup "
                                      "--tests installs it")
        folder = tempfile.TemporaryDirectory(prefix="longhand-redis-")
        self.addCleanup(folder.cleanup)
        self.store_port = free_port()
        self.store = subprocess.Popen(
            [program, "--port", str(self.store_port), "--bind", "127.0.0.1",
             "--dir", folder.name, "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(self.stop_store)
        programs.wait_until(self.store_answers, "the store's port")
        self.servers, self.connections = [], []
        for _ in range(2):
            self.add_server()

    def stop_store(self):
        self.store.kill()
        self.store.wait()

    def store_answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.store_port)) == 0

    def add_server(self):
        port = free_port()
        server = programs.Server(
            programs.MODEL_DIR, "--session-store", "redis",
            "--session-redis-address", f"127.0.0.1:{self.store_port}",
            "--session-lease", str(LEASE_SECONDS),
            "--session-owner", f"127.0.0.1:{port}", "--listen",
            f"127.0.0.1:{port}")
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        connection = wire.Connection(server.wait_until_ready().address)
        self.addCleanup(connection.close)
        self.servers.append(server)
        self.connections.append(connection)

    def expect_whole(self, connection, session_id, text):
        """The session has the text, and its chunks are those of one call."""
        self.assertEqual(session_wire.stored_text(connection, session_id),
                         text)
        whole = wire.encode(connection, text, document_weight=0)
        end = session_wire.get(connection, session_id).committed_offset
        self.assertEqual(end, len(text))
        result = session_wire.append(
            connection, session_id,
            [session_wire.Append(end, b"", close=True)])[0]
        for chunk in result.chunks:
            self.assertEqual(chunk.vector, whole.chunks[chunk.index].vector)
        return whole

    def append_until_taken_over(self, connection, session_id, one):
        """Sends `one` until the other replica's lease has ended."""
        def sent():
            try:
                return session_wire.append(connection, session_id, [one])[0]
            except grpc.RpcError as error:
                info = wire.error_info(wire.rpc_status(error))
                self.assertEqual(info.reason, "WRONG_REPLICA")
                return None
        return programs.wait_until(sent, "the lease's end")

    def test_a_killed_server_is_followed_by_the_other(self):
        first, second = self.connections
        session_id = session_wire.create(first)
        session_wire.append_text(first, session_id, 0, TEXT[:6000],
                                 durability=session_wire.SHARED)
        info, _ = self.assert_fails(
            grpc.StatusCode.ABORTED, "WRONG_REPLICA",
            lambda: session_wire.append_text(second, session_id, 6000, b"x"))
        self.assertEqual(info.metadata["owner"], self.servers[0].address)
        one = session_wire.Append(6000, TEXT[6000:16_000],
                                  durability=session_wire.SHARED)
        failure = []

        def interrupted():
            try:
                session_wire.append(first, session_id, [one])
            except grpc.RpcError as error:
                failure.append(error.code())
        sender = threading.Thread(target=interrupted)
        sender.start()
        time.sleep(0.3)  # in the middle of its work, or at any other moment
        self.servers[0].kill()
        sender.join()
        result = self.append_until_taken_over(second, session_id, one)
        if failure:
            self.assertEqual(failure, [grpc.StatusCode.UNAVAILABLE])
        self.assertEqual(result.result.committed_offset, 16_000)
        self.expect_whole(second, session_id, TEXT[:16_000])

    def test_a_stopping_server_hands_its_sessions_over(self):
        first, second = self.connections
        session_id = session_wire.create(first)
        result = session_wire.append_text(first, session_id, 0, TEXT[:5000])
        self.assertEqual(result.result.committed_offset, 5000)
        sent = threading.Event()
        hold = threading.Event()

        def requests():
            yield session_wire.Append(5000, TEXT[5000:6000]).request(session_id)
            sent.set()
            hold.wait(programs.PATIENCE_SECONDS)
        responses = first.sessions.AppendSession(requests())
        kinds = []
        for response in responses:
            kinds.append(response.WhichOneof("payload"))
            if kinds[-1] == "result":
                self.servers[0].send_signal(signal.SIGTERM)
            elif kinds[-1] == "drain":
                self.assertEqual(response.drain.resume_offset, 6000)
        hold.set()
        self.assertEqual(kinds[-1], "drain")
        self.assertEqual(self.servers[0].wait(), 0)
        # No lease to wait for, nothing lost although MEMORY was asked for.
        session = session_wire.get(second, session_id)
        self.assertEqual(session.committed_offset, 6000)
        session_wire.append_text(second, session_id, 6000, TEXT[6000:9000])
        self.expect_whole(second, session_id, TEXT[:9000])

    def test_a_paused_server_cannot_write_over_its_successor(self):
        first, second = self.connections
        session_id = session_wire.create(first)
        session_wire.append_text(first, session_id, 0, TEXT[:4000],
                                 durability=session_wire.SHARED)
        self.servers[0].send_signal(signal.SIGSTOP)
        one = session_wire.Append(4000, TEXT[4000:7000],
                                  durability=session_wire.SHARED)
        self.append_until_taken_over(second, session_id, one)
        self.servers[0].send_signal(signal.SIGCONT)
        with self.assertRaises(grpc.RpcError) as caught:
            session_wire.append_text(first, session_id, 4000, b"late ",
                                     durability=session_wire.SHARED)
        info = wire.error_info(wire.rpc_status(caught.exception))
        self.assertIn(info.reason, ("STALE_GENERATION", "WRONG_REPLICA"))
        self.expect_whole(second, session_id, TEXT[:7000])

    def test_without_the_store_memory_goes_on_and_shared_is_refused(self):
        first = self.connections[0]
        session_id = session_wire.create(first)
        session_wire.append_text(first, session_id, 0, TEXT[:3000],
                                 durability=session_wire.SHARED)
        self.stop_store()
        self.assert_fails(
            grpc.StatusCode.UNAVAILABLE, "STORE_DEGRADED",
            lambda: session_wire.append_text(
                first, session_id, 3000, TEXT[3000:3100],
                durability=session_wire.SHARED))


if __name__ == "__main__":
    unittest.main()
