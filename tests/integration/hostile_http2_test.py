"""Frames that no gRPC client sends, on connections that anybody can open.

After each of them HostileCase checks that another client is served and that
nothing is left behind. What the listed gRPC releases are known to get wrong is
stated where it shows, and the tests hold newer ones to it.
"""

import os
import random
import signal
import unittest

import grpc
import hyperframe.frame as frames

import certificates
import hostile
import http2_peer
import programs
import wire
from http2_peer import ENCODE, ENCODE_STREAM, Peer, grpc_message

OK, UNKNOWN, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED = (
    0, 2, 8, 9, 12)
MESSAGE_LIMIT = 256 << 10
METADATA_LIMIT = 8 << 10
STREAM_LIMIT = 32
FRAME_TYPES_OF_HTTP2 = range(10)


class HostileFramesTest(hostile.HostileCase):

    FLAGS = ("--max-message-bytes", str(MESSAGE_LIMIT),
             "--max-concurrent-streams", str(STREAM_LIMIT))

    def assert_works(self, peer):
        answer = peer.call()
        self.assertEqual(answer.status, OK, answer.headers)

    def test_streams_that_are_reset_at_once(self):
        """CVE-2023-44487, of 5,000 streams: half of them before the document
        is complete, half after. gRPC before 1.60 does not bound how many calls
        it holds that have been reset, and what they leave is scattered."""
        if hostile.grpc_version() < (1, 60, 0):
            self.growth = 160 * hostile.MIB
        tokens = "longhand_encode_tokens_total"
        before = self.server.metrics()[tokens]
        served = 0
        with Peer(self.address) as peer:
            message = grpc_message(http2_peer.small_document(400))
            for number in range(5000):
                stream, opening = peer.headers(ENCODE_STREAM if number % 2
                                               else ENCODE)
                many = list(opening)
                if number % 2 == 0:
                    many.append(frames.DataFrame(stream, message,
                                                 flags=["END_STREAM"]))
                many.append(frames.RstStreamFrame(stream, 8))
                peer.send(*many)
                if number % 500 == 0:
                    hostile.encode(self.victim)
                    served += 20
                    peer.read_until(lambda: True, 0)
        programs.wait_until(lambda: self.server.open_documents() == 0,
                            "the documents to be dropped")
        done = self.server.metrics()[tokens] - before - served
        # What was reset before it was begun costs nothing.
        self.assertLess(done, 2500 * 400 / 2)

    def test_pings_without_end(self):
        with Peer(self.address) as peer:
            for _ in range(500):
                peer.send(frames.PingFrame(0, os.urandom(8)))
            self.assertTrue(peer.hung_up(20))
            self.assertIsNotNone(peer.goaway)
            self.assertEqual(peer.goaway.error_code,
                             http2_peer.ENHANCE_YOUR_CALM)
            self.assertEqual(peer.goaway.additional_data, b"too_many_pings")

    def test_settings_without_end(self):
        with Peer(self.address) as peer:
            for value in range(2000):
                peer.send(frames.SettingsFrame(0, {4: 65_535 + value % 2}))
                if value % 100 == 0:
                    peer.read_until(lambda: True, 0)
            self.assert_works(peer)

    def test_metadata_over_the_limit(self):
        for extra in ([("x-large", "x" * METADATA_LIMIT)],
                      [(f"x-{i}", "") for i in range(1000)],
                      [("x-large", "x" * 60_000)]):
            with self.subTest(extra[0][0]), Peer(self.address) as peer:
                # UNKNOWN before gRPC 1.53.
                self.assertIn(peer.call(extra=extra).status,
                              (RESOURCE_EXHAUSTED, UNKNOWN))
                if hostile.grpc_version() >= (1, 53, 0):
                    self.assert_works(peer)
                # Else CVE-2023-32731: it has lost the thread of this
                # connection's header compression.

    def test_metadata_just_below_the_limit(self):
        with Peer(self.address) as peer:
            extra = [("x-large", "x" * (METADATA_LIMIT - 1024))]
            self.assertEqual(peer.call(extra=extra).status, OK)

    def test_metadata_that_is_not_what_its_name_says(self):
        with Peer(self.address) as peer:
            answer = peer.call(extra=[("x-bin", "!!! no base64")])
            if hostile.grpc_version() < (1, 53, 0):
                # CVE-2023-32732: the whole connection, not the call.
                self.assertTrue(answer.status or peer.hung_up(20))
            else:
                self.assertNotEqual(answer.status, OK)
                self.assert_works(peer)

    def test_metadata_with_control_characters(self):
        for value in ("a\nb", "a\0b", "\x1b[31m"):
            with self.subTest(value), Peer(self.address) as peer:
                answer = peer.call(extra=[("x-text", value)])
                if answer.status is None:
                    self.assertTrue(peer.closed or answer.reset is not None)
        self.assertNotIn("\x1b", self.server.log())

    def test_headers_that_are_not_a_call(self):
        path = (":path", ENCODE)
        for fields in ([(":method", "GET"), (":scheme", "http"), path],
                       [(":method", "POST"), (":scheme", "http")],
                       [(":method", "POST"), path],
                       [(":method", "POST"), (":scheme", "http"), path, path],
                       [("x-first", "1"), (":method", "POST"), path],
                       [(":method", "POST"), (":scheme", "http"),
                        (":path", "no slash")],
                       [(":method", "POST"), (":scheme", "http"), path,
                        ("content-type", "text/html")],
                       [(":method", "POST"), (":scheme", "http"), path,
                        ("X-Upper", "1")]):
            with self.subTest(fields), Peer(self.address) as peer:
                peer.send(*peer.header_frames(1, fields, end=True))
                self.assertNotEqual(peer.finish(1, 20).status, OK)

    def test_header_blocks_that_cannot_be_decoded(self):
        blocks = [b"\xff" * 40,  # an index beyond the table
                  b"\x3f" + b"\xff" * 20,  # a table size beyond 64 bits
                  b"\x00\x7f\xff\xff\xff\xff\x07x",  # a name of 32 GiB
                  b"\x00\x85\xff\xff\xff\xff\xff\x00",  # bad Huffman code
                  b""]
        for block in blocks:
            with self.subTest(block), Peer(self.address) as peer:
                peer.send(frames.HeadersFrame(
                    1, block, flags=["END_HEADERS", "END_STREAM"]))
                self.assertNotEqual(peer.finish(1, 5).status, OK)

    def test_a_header_block_that_never_ends(self):
        with Peer(self.address) as peer:
            stream, opening = peer.headers(ENCODE)
            opening[-1].flags.discard("END_HEADERS")
            peer.send(*opening)
            # A literal that is not indexed: "x" with 100 bytes.
            literal = b"\x00\x01x\x64" + b"y" * 100
            for _ in range(200):
                peer.send(frames.ContinuationFrame(stream, literal * 100))
                peer.read_until(lambda: True, 0)
            self.assertFalse(peer.answer(stream).status == OK)

    def test_frames_of_unknown_types_are_ignored(self):
        with Peer(self.address) as peer:
            for kind in range(256):
                if kind not in FRAME_TYPES_OF_HTTP2:
                    peer.send_bytes(http2_peer.raw_frame(
                        kind, 0xff, 0, b"x" * kind))
            self.assert_works(peer)

    def test_frames_out_of_place(self):
        data, headers, rst, settings, push, ping, window, more = (
            0, 1, 3, 4, 5, 6, 8, 9)
        for kind, flags, stream, body in (
                (data, 0, 0, b"x"),
                (data, 0, 1, b"x"),  # of a stream that is not open
                (data, 8, 1, b"\xffx"),  # more padding than data
                (headers, 4, 0, b"\x82"),
                (headers, 4, 2, b"\x82"),  # a stream of the server's
                (headers, 4 | 8, 1, b"\xff\x82"),
                (headers, 4 | 32, 1, b"\x82"),  # no room for the priority
                (rst, 0, 0, b"\0\0\0\0"),
                (rst, 0, 1, b"\0"),
                (settings, 0, 1, b""),
                (settings, 0, 0, b"hello"),
                (settings, 1, 0, b"\0\4\0\0\0\0"),
                (settings, 0, 0, b"\0\4\xff\xff\xff\xff"),
                (settings, 0, 0, b"\0\5\0\0\0\1"),
                (push, 4, 1, b"\0\0\0\2"),
                (ping, 0, 0, b"x"),
                (ping, 0, 1, b"12345678"),
                (window, 0, 0, b"\0\0\0\0"),
                (window, 0, 0, b"\0"),
                (more, 4, 1, b"\x82")):
            with self.subTest(kind=kind, flags=flags, stream=stream,
                              body=body), Peer(self.address) as peer:
                peer.send_bytes(http2_peer.raw_frame(kind, flags, stream, body))
                # Some are errors of the connection, some gRPC ignores.
                peer.read_until(lambda: False, 0.1)

    def test_bytes_that_are_no_frames(self):
        rng = random.Random(1)
        for size in (1, 9, 1000, 100_000):
            for greet in (True, False):
                with self.subTest(size, greet=greet), \
                        Peer(self.address, greet=greet) as peer:
                    peer.send_bytes(rng.randbytes(size))
                    peer.read_until(lambda: False, 0.1)

    def test_a_frame_larger_than_agreed(self):
        with Peer(self.address) as peer:
            peer.send_bytes(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
            self.assertTrue(peer.hung_up(20))

    def test_windows_that_overflow(self):
        for stream in (0, 1):
            with self.subTest(stream), Peer(self.address) as peer:
                peer.open(ENCODE_STREAM)
                for _ in range(3):
                    peer.send(frames.WindowUpdateFrame(stream, 2**31 - 1))
                peer.read_until(
                    lambda: peer.answer(1).ended or peer.closed, 0.5)
                if not peer.answer(1).ended and not peer.closed:
                    # gRPC takes a window that is too large for a large one.
                    peer.send_data(1, b"", end=True)
                    peer.finish(1, 20)
                self.assertNotEqual(peer.answer(1).status, OK)

    def test_data_beyond_the_window(self):
        with Peer(self.address) as peer:
            stream = peer.open(ENCODE)
            peer.send_data(stream, grpc_message(b"", length=2**30))
            for _ in range(6):
                peer.send_data(stream, b"x" * (8 << 20))
            self.assertTrue(peer.hung_up(20))

    def test_a_message_of_just_the_limit_and_one_byte_more(self):
        with Peer(self.address, settings={4: 1 << 20}) as peer:
            # The server has no tokenizer for the text that it understands.
            for size, status in ((MESSAGE_LIMIT, FAILED_PRECONDITION),
                                 (MESSAGE_LIMIT + 1, RESOURCE_EXHAUSTED)):
                payload = wire.encoder_pb.EncodeRequest(
                    text=b"\xff" * (size - 4)).SerializeToString()
                self.assertEqual(len(payload), size)
                with self.subTest(size):
                    self.assertEqual(self.send_slowly(peer, payload).status,
                                     status)
            self.assert_works(peer)

    @staticmethod
    def send_slowly(peer, payload):
        """As far as the windows of HTTP/2's start go, then all the rest once
        the server has had time to widen them."""
        stream = peer.open(ENCODE)
        message = grpc_message(payload)
        peer.send_data(stream, message[:60_000])
        peer.read_until(lambda: peer.answer(stream).ended, 0.5)
        peer.send_data(stream, message[60_000:], end=True)
        return peer.finish(stream, 20)

    def test_compressed_messages(self):
        """A bomb of 512 MiB in half a megabyte."""
        bomb = http2_peer.gzip_of_zeros(512 << 20)
        for name in ("gzip", "deflate"):
            for payload in (bomb[:30_000], bomb[:MESSAGE_LIMIT - 100]):
                with self.subTest(name, size=len(payload)), \
                        Peer(self.address) as peer:
                    stream = peer.open(ENCODE, [("grpc-encoding", name)])
                    peer.send_data(stream, grpc_message(payload, True)[:60_000],
                                   end=len(payload) < 60_000)
                    self.assertEqual(peer.finish(stream, 20).status,
                                     UNIMPLEMENTED)
                    self.assert_works(peer)

    def test_unknown_methods(self):
        series = set(self.server.metrics())
        with Peer(self.address) as peer:
            for path in ("/longhand.v1.EncoderService/Nothing", "/x/y", "//",
                         "/longhand.v1.EncoderService/Encode/",
                         "/longhand.v1.EncoderService/" + "x" * 1000,
                         "/grpc.reflection.v1alpha.ServerReflection"
                         "/ServerReflectionInfo",
                         "/grpc.channelz.v1.Channelz/GetServers"):
                with self.subTest(path):
                    self.assertEqual(peer.call(path).status, UNIMPLEMENTED)
            self.assert_works(peer)
        self.assertEqual(set(self.server.metrics()), series)

    def test_more_streams_than_allowed(self):
        for agree in (True, False):
            with self.subTest(agree=agree), \
                    Peer(self.address, agree=agree) as peer:
                for _ in range(STREAM_LIMIT + 100):
                    peer.open(ENCODE_STREAM)
                hostile.encode(self.victim)
                if agree or hostile.grpc_version() >= (1, 60, 0):
                    self.assertLessEqual(self.open_streams(), STREAM_LIMIT)
                # Else a peer that does not acknowledge the limit is not bound
                # by it.
            programs.wait_until(lambda: self.open_streams() == 0,
                                "the streams to end")

    def open_streams(self):
        count = 0
        for series, value in self.server.metrics().items():
            if 'grpc_method="EncodeStream"' in series:
                if series.startswith("grpc_server_started_total"):
                    count += value
                elif series.startswith("grpc_server_handled_total"):
                    count -= value
        return count


class AbortTest(unittest.TestCase):
    """CVE-2023-1428: headers of which gRPC before 1.53 dies."""

    DEADLY = [[("te", "x")], [(":scheme", "x")], [("grpclb_client_stats", "x")]]

    def attack(self, address, deadly, context=None):
        with Peer(address, context) as peer:
            fields = {":method": "POST", ":scheme": "http", ":path": ENCODE,
                      **dict(deadly)}
            fields = [*fields.items(), *((f"x-{i}", "y" * 1000)
                                         for i in range(12))]
            peer.send(*peer.header_frames(1, fields, end=True))
            peer.read_until(lambda: peer.closed or peer.answer(1).ended, 20)

    def start(self, *flags):
        server = self.enterContext(programs.Server(
            hostile.MODEL, "--without-tokenizer", "--workers", "1", *flags))
        return server.wait_until_ready()

    def test_plaintext(self):
        for deadly in self.DEADLY:
            with self.subTest(deadly):
                server = self.start()
                self.attack(server.address, deadly)
                try:
                    hostile.encode_anew(server.address)
                except grpc.RpcError:
                    self.assertLess(
                        hostile.grpc_version(), (1, 53, 0),
                        "this gRPC is said to be free of CVE-2023-1428")
                    self.assertEqual(server.wait(), -signal.SIGABRT)
                    # Known, and why plaintext is for loopback only. Debian's
                    # 1.51.1 was not seen to die of it.
                    print(f"CVE-2023-1428: {deadly} ended the server")
                    continue
                self.assertEqual(server.stop(), 0)

    def test_no_certificate_no_abort(self):
        folder = self.enterContext(hostile.temporary_folder())
        ca = certificates.Authority(folder / "ca", "ca")
        certificate, client = ca.issue("localhost"), ca.issue("client")
        served = certificates.Served(folder / "served")
        served.put(certificate.pem, certificate.key, ca.pem)
        server = self.start(*served.flags())
        for deadly in self.DEADLY:
            for context in (None, certificates.client_context(ca)):
                try:
                    self.attack(server.address, deadly, context)
                except OSError:
                    pass  # ssl.SSLError is one
        connection = certificates.TlsConnection(
            "localhost:" + server.address.rpartition(":")[2], ca, client)
        self.addCleanup(connection.close)
        hostile.encode(connection)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
