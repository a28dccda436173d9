"""Peers that are slow, silent or many, over sockets that anybody can open.

After each of them HostileCase checks that another client is served and that
nothing is left behind.
"""

import resource
import select
import socket
import threading
import time
import unittest

import hostile
import http2_peer
import programs
import session_wire
import wire
from http2_peer import ENCODE, ENCODE_STREAM, Peer, grpc_message

MIB = hostile.MIB
STALL_SECONDS = 1
KEEPALIVE_SECONDS = 3


class SlowPeersTest(hostile.HostileCase):

    FLAGS = ("--stall-timeout-seconds", str(STALL_SECONDS),
             "--grpc-memory-bytes", "64MiB")

    def ended_streams(self, code):
        """EncodeStream calls that ended so."""
        return sum(value for series, value in self.server.metrics().items()
                   if series.startswith("grpc_server_handled_total")
                   and f'grpc_code="{code}"' in series
                   and 'grpc_method="EncodeStream"' in series)

    def test_greetings_that_never_end(self):
        """Half a preface, a preface byte by byte, and a half of SETTINGS."""
        peers = [Peer(self.address, greet=False) for _ in range(3)]
        begin = time.monotonic()
        peers[0].send_bytes(http2_peer.PREFACE[:10])
        peers[2].send_bytes(http2_peer.PREFACE + b"\0\0\6\4")
        for byte in http2_peer.PREFACE[:14]:
            peers[1].send_bytes(bytes([byte]))
            if peers[1].hung_up(1):
                break
        hostile.encode(self.victim)
        for peer in peers:
            self.assertTrue(peer.hung_up(30))
            peer.close()
        # Of the server's 10 s; not at once, so it was the time.
        self.assertGreater(time.monotonic() - begin, 5)

    def test_a_stream_that_never_speaks(self):
        before = self.ended_streams("Aborted")
        with Peer(self.address) as peer:
            stream = peer.open(ENCODE_STREAM)
            answer = peer.finish(stream, 20)
            self.assertEqual(answer.status, 10)  # ABORTED
            self.assertIn("neither sent nor read",
                          answer.headers["grpc-message"])
        self.assertEqual(self.ended_streams("Aborted"), before + 1)

    def test_a_message_that_is_declared_and_trickles(self):
        """2 GiB are declared; a stream is ended for its stall, and memory goes
        by what has come. gRPC has a unary call wait for its message as long as
        the connection lasts."""
        with Peer(self.address) as peer:
            streams = [peer.open(path)
                       for path in [ENCODE] * 8 + [ENCODE_STREAM] * 8]
            for stream in streams:
                peer.send_data(stream, grpc_message(b"x", length=2**31 - 1))
            for _ in range(30):
                for stream in streams:
                    peer.send_data(stream, b"x" * 100)
                peer.read_until(lambda: False, 0.1)
            hostile.encode(self.victim)
            for stream in streams[8:]:
                self.assertEqual(peer.finish(stream, 20).status, 10)
            self.assertFalse(peer.closed)

    def test_much_data_of_messages_that_never_end(self):
        """As fast as the windows let it; the quota is 64 MiB."""
        self.growth = 160 * MIB
        peers = [Peer(self.address) for _ in range(4)]
        for peer in peers:
            for _ in range(8):
                stream = peer.open(ENCODE)
                peer.send_data(stream, grpc_message(b"", length=2**31 - 1))
        give_up = time.monotonic() + 5
        for _ in range(100):
            for peer in peers:
                peer.socket.settimeout(0.05)
                for stream in range(1, 16, 2):
                    peer.send_data(stream, b"x" * 65_536)
            if time.monotonic() > give_up:
                break
        hostile.encode(self.victim)
        for peer in peers:
            peer.close()

    def test_a_reader_that_stops_reading(self):
        """A large result for somebody who reads none of it."""
        before = self.ended_streams("Aborted")
        options = wire.encoder_pb.EncodeOptions(
            outputs=[wire.encoder_pb.OUTPUT_TOKEN_VECTORS],
            document_weight=0)
        content = wire.encoder_pb.TokenIds(ids=[10] * 20_000)
        with Peer(self.address) as peer:
            stream = peer.open(ENCODE_STREAM)
            for message in ([{"config": options}]
                            + [{"token_ids": content}] * 50):
                peer.send_data(stream, grpc_message(
                    wire.encoder_pb.EncodeStreamRequest(
                        **message).SerializeToString()))
            programs.wait_until(
                lambda: self.ended_streams("Aborted") > before,
                "the stream to be ended")
            hostile.encode(self.victim)


class CutOffTest(hostile.HostileCase):

    FLAGS = ("--keepalive-seconds", str(KEEPALIVE_SECONDS))

    def test_a_peer_that_is_cut_off(self):
        """The network swallows everything, in both directions, while a
        document and an append are open."""
        session = session_wire.create(self.victim)
        with Gate(self.address) as gate:
            lost = wire.Connection(gate.address)
            self.addCleanup(lost.close)
            more = threading.Event()
            self.addCleanup(more.set)
            request = session_wire.Append(0, b"").request(session)
            request.token_ids.ids.extend([10] * 50)
            append = lost.sessions.AppendSession(held(more, request))
            offset = next(message.result.committed_offset
                          for message in append
                          if message.WhichOneof("payload") == "result")
            config = wire.encoder_pb.EncodeStreamRequest(
                config=wire.encoder_pb.EncodeOptions())
            # Without a reference it would be cancelled.
            document = lost.encoder.EncodeStream(held(more, config))
            self.addCleanup(document.cancel)
            programs.wait_until(lambda: self.server.open_documents() == 1,
                                "the document to be opened")
            gate.swallow()
            # Another client goes on where the lost one was.
            request = session_wire.Append(offset, b"").request(session)
            request.token_ids.ids.extend([11] * 50)
            answers = list(self.victim.sessions.AppendSession(
                iter([request]), timeout=60))
            self.assertGreater(answers[-1].result.committed_offset, offset)
            programs.wait_until(lambda: self.open_calls() == 0,
                                "the lost streams to be ended")
            # Closing it is what frees the descriptor.
            programs.wait_until(
                lambda: self.open_descriptors() <= self.descriptors,
                "the lost connection to be closed")

    def open_calls(self):
        count = 0
        for series, value in self.server.metrics().items():
            if series.startswith("grpc_server_started_total"):
                count += value
            elif series.startswith("grpc_server_handled_total"):
                count -= value
        return count


class FloodTest(hostile.HostileCase):
    """More connections than the server has descriptors for (CVE-2023-4785 is
    that it never listens again)."""

    REFUSED = "longhand_connections_refused_total"

    def flood(self, count):
        host, _, port = self.address.rpartition(":")
        sockets = []
        for _ in range(count):
            end = socket.create_connection((host, int(port)), timeout=60)
            self.addCleanup(end.close)
            sockets.append(end)
        return sockets

    def limit_descriptors(self, spare):
        """To `spare` more than are open now."""
        old = resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE)
        limit = int(self.descriptors) + spare
        resource.prlimit(self.server.pid, resource.RLIMIT_NOFILE,
                         (limit, old[1]))
        self.addCleanup(resource.prlimit, self.server.pid,
                        resource.RLIMIT_NOFILE, old)

    def test_some_descriptors_are_kept_back(self):
        """New connections are refused at once; the rest goes on."""
        self.limit_descriptors(spare=40)
        sockets = self.flood(100)
        programs.wait_until(lambda: self.server.metrics()[self.REFUSED] > 50,
                            "connections to be refused")
        hostile.encode(self.victim)  # whose connection is open
        closed = 0
        for end in sockets:
            end.settimeout(0.2)
            try:
                closed += self.drain(end)
            except TimeoutError:
                pass
            end.close()
        self.assertGreater(closed, 50)
        hostile.encode_anew(self.address)

    @staticmethod
    def drain(end):
        """Whether the server has hung up; raises TimeoutError if not."""
        try:
            while end.recv(4096):
                pass
        except ConnectionError:
            pass
        return True

    def test_no_descriptor_at_all(self):
        """Connections wait until there is one."""
        self.limit_descriptors(spare=0)
        before = self.server_log_count()
        sockets = self.flood(20)
        programs.wait_until(lambda: self.server_log_count() > before,
                            "the server to notice")
        hostile.encode(self.victim)
        for end in sockets:
            end.close()
        self.doCleanups()  # gives the descriptors back
        hostile.encode_anew(self.address)

    def server_log_count(self):
        return self.server.log().count('"connection refused"')


def held(event, *requests):
    """The requests, and no end before `event`."""
    yield from requests
    event.wait()


class Gate:
    """A TCP relay on loopback that can stop relaying without a word."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._swallow = threading.Event()
        self._stop = threading.Event()
        self._pairs = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, value, traceback):
        self._stop.set()
        self._thread.join()
        for end in (self._listener, *self._pairs):
            end.close()

    @property
    def address(self):
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def swallow(self):
        """From now on what comes is lost, and so is every close."""
        self._swallow.set()

    def _run(self):
        while not self._stop.is_set():
            ready, _, _ = select.select(
                [self._listener, *self._pairs], [], [], 0.05)
            for end in ready:
                if end is self._listener:
                    near = end.accept()[0]
                    far = socket.create_connection(self._target)
                    self._pairs[near], self._pairs[far] = far, near
                    continue
                if self._swallow.is_set():
                    time.sleep(0.05)
                    continue
                data = end.recv(65_536)
                if data:
                    self._pairs[end].sendall(data)
                else:
                    other = self._pairs.pop(end)
                    self._pairs.pop(other)
                    other.close()
                    end.close()


if __name__ == "__main__":
    unittest.main()
