"""TLS of longhand-server: who gets in, and certificates that change under load.

The certificates are made by the openssl program.
"""

import pathlib
import socket
import ssl
import tempfile
import threading
import time
import unittest

import grpc

import certificates
import http2_peer
import programs
import wire

NOT_AFTER = "longhand_tls_certificate_not_after_timestamp_seconds"
OK = 'longhand_tls_reloads_total{result="ok"}'
FAILED = 'longhand_tls_reloads_total{result="failed"}'
KEPT = "changed certificates cannot serve; those from before are kept"
DAY = 24 * 3600


def setUpModule():  # pylint: disable=invalid-name
    global folder, ca, other_ca, client  # pylint: disable=global-statement
    temporary = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(temporary.cleanup)
    folder = pathlib.Path(temporary.name)
    ca = certificates.Authority(folder / "ca", "ca")
    other_ca = certificates.Authority(folder / "other", "ca")
    client = ca.issue("client")


def encode(connection, **metadata):
    request = wire.encoder_pb.EncodeRequest(
        token_ids=wire.encoder_pb.TokenIds(ids=[10] * 20))
    return connection.encoder.Encode(
        request, timeout=60, metadata=list(metadata.items()))


class Tls(unittest.TestCase):

    def start(self, certificate):
        """A server with `certificate` that asks clients for those of `ca`."""
        self.served = certificates.Served(folder / self.id())
        self.served.put(certificate.pem, certificate.key, ca.pem)
        self.server = self.enterContext(programs.Server(
            programs.TESTDATA_DIR / "parity" / "bert", "--without-tokenizer",
            "--workers", "1", "--tls-reload-seconds", "0.1",
            *self.served.flags()))
        self.server.wait_until_ready()
        self.address = "localhost:" + self.server.address.rpartition(":")[2]

    def connect(self, shown=None, trusted=None):
        connection = certificates.TlsConnection(
            self.address, trusted or ca, shown)
        self.addCleanup(connection.close)
        return connection

    def handshake(self, context):
        """Shakes hands and exchanges SETTINGS; in TLS 1.3 the server's opinion
        of a client's certificate is in its first bytes. Returns the version
        and the server's certificate."""
        with http2_peer.Peer(self.server.address, context) as peer:
            if peer.settings is None:
                raise ssl.SSLError("closed before the server's SETTINGS")
            return peer.socket.version(), peer.socket.getpeercert(True)

    def assert_refused(self, context):
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.handshake(context)

    def served_certificate(self):
        return self.handshake(certificates.client_context(ca, client))[1]

    def check_still_serves(self):
        encode(self.connect(client))


class WhoGetsInTest(Tls):

    def setUp(self):
        self.start(ca.issue("localhost"))

    def tearDown(self):
        self.check_still_serves()
        self.assertEqual(self.server.stop(), 0)

    def test_clients_need_a_valid_certificate_of_the_authority(self):
        self.check_still_serves()
        self.handshake(certificates.client_context(ca, client))
        for name, shown in (
                ("none", None),
                ("other authority", other_ca.issue("client")),
                ("expired", ca.issue("client", -2 * DAY, -DAY)),
                ("not yet valid", ca.issue("client", DAY, 2 * DAY))):
            with self.subTest(name):
                self.assert_refused(certificates.client_context(ca, shown))
                with self.assertRaises(grpc.RpcError) as caught:
                    encode(self.connect(shown))
                self.assertEqual(caught.exception.code(),
                                 grpc.StatusCode.UNAVAILABLE)

    def test_the_server_proves_who_it_is(self):
        with self.assertRaises(grpc.RpcError):
            encode(self.connect(client, trusted=other_ca))
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.handshake(certificates.client_context(other_ca, client))

    def test_versions_before_1_2_are_refused(self):
        for version, fine in ((ssl.TLSVersion.TLSv1, False),
                              (ssl.TLSVersion.TLSv1_1, False),
                              (ssl.TLSVersion.TLSv1_2, True),
                              (ssl.TLSVersion.TLSv1_3, True)):
            context = certificates.client_context(ca, client)
            # Else OpenSSL would not even ask for the old ones.
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = version
            context.maximum_version = version
            with self.subTest(version.name):
                if fine:
                    self.assertEqual(self.handshake(context)[0].replace(
                        ".", "_"), version.name)
                else:
                    self.assert_refused(context)

    def test_plaintext_gets_nothing(self):
        with http2_peer.Peer(self.server.address) as peer:
            self.assertTrue(peer.hung_up(20))
            self.assertEqual(peer.answers, {})
        plain = wire.Connection(self.server.address)
        self.addCleanup(plain.close)
        with self.assertRaises(grpc.RpcError) as caught:
            encode(plain)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_a_handshake_that_never_ends_is_cut_off(self):
        host, _, port = self.server.address.rpartition(":")
        begun = []
        for first in (b"", b"\x16\x03\x01\x02\x00\x01"):
            peer = socket.create_connection((host, int(port)), timeout=60)
            self.addCleanup(peer.close)
            peer.sendall(first)
            begun.append(peer)
        self.check_still_serves()
        begin = time.monotonic()
        for peer in begun:
            self.assertEqual(peer.recv(1), b"")
        # Of the server's 10 s; not at once, so it was the time.
        self.assertGreater(time.monotonic() - begin, 5)


class Callers:
    """Threads that call until told to stop: on new connections, so that each
    call shakes hands, or on one that stays open."""

    def __init__(self, case, fresh, lasting):
        self._case = case
        self._stop = threading.Event()
        self.calls = 0
        self.errors = []
        self._threads = [threading.Thread(target=self._run, args=(kind,))
                         for kind in [True] * fresh + [False] * lasting]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, value, traceback):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, fresh):
        connection = None
        while not self._stop.is_set() and not self.errors:
            if connection is None:
                connection = certificates.TlsConnection(
                    self._case.address, ca, client)
            try:
                encode(connection)
                self.calls += 1
            except grpc.RpcError as error:
                self.errors.append(error)
            if fresh:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


class RotationTest(Tls):

    def wait_for_certificate(self, certificate):
        programs.wait_until(
            lambda: self.served_certificate() == certificate.der(),
            "the new certificate")

    def assert_expiry(self, certificate):
        self.assertEqual(self.server.metrics()[NOT_AFTER],
                         certificate.expiry())

    def test_certificates_change_under_load(self):
        first = ca.issue("localhost")
        self.start(first)
        self.assertEqual(self.served_certificate(), first.der())
        self.assert_expiry(first)
        with Callers(self, fresh=3, lasting=1) as callers:
            for days in range(3, 7):
                renewed = ca.issue("localhost", end=days * DAY)
                self.served.put(renewed.pem, renewed.key, ca.pem)
                self.wait_for_certificate(renewed)
                self.assert_expiry(renewed)
        self.assertEqual(callers.errors, [])
        self.assertGreater(callers.calls, 20)
        metrics = self.server.metrics()
        self.assertEqual((metrics[OK], metrics[FAILED]), (4, 0))
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn(KEPT, self.server.log())

    def test_files_that_cannot_serve_are_not_taken(self):
        first = ca.issue("localhost")
        self.start(first)
        self.assertEqual(self.server.metrics()[FAILED], 0)
        second = ca.issue("localhost")
        garbage = folder / "garbage"
        garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n"
                           "-----END CERTIFICATE-----\n")
        empty = folder / "empty"
        empty.write_text("")
        expired = ca.issue("localhost", -2 * DAY, -DAY)
        bad = [(second.pem, first.key, ca.pem),  # not a pair
               (first.pem, second.key, ca.pem),
               (garbage, second.key, ca.pem),
               (second.pem, garbage, ca.pem),
               (empty, empty, ca.pem),
               (second.pem, second.key, garbage),
               (second.pem, second.key, empty),
               (expired.pem, expired.key, ca.pem)]
        with Callers(self, fresh=1, lasting=1) as callers:
            for count, files in enumerate(bad, 1):
                self.served.put(*files)
                programs.wait_until(
                    lambda count=count:
                        self.server.metrics()[FAILED] == count,
                    f"bad files number {count} to be found out")
            # Longer than gRPC waits before it looks again.
            time.sleep(1.5)
            self.assertEqual(self.served_certificate(), first.der())
            self.assert_expiry(first)
            self.assertEqual(self.server.metrics()[OK], 0)
            self.served.put(second.pem, second.key, ca.pem)
            self.wait_for_certificate(second)
        self.assertEqual(callers.errors, [])
        metrics = self.server.metrics()
        self.assertEqual((metrics[OK], metrics[FAILED]), (1, len(bad)))
        self.assertEqual(self.server.stop(), 0)
        # One line for each, however long they lay there.
        self.assertEqual(self.server.log().count(KEPT), len(bad))

    def test_the_authority_of_clients_changes(self):
        certificate = ca.issue("localhost")
        self.start(certificate)
        lasting = self.connect(client)
        encode(lasting)
        stranger = other_ca.issue("client")
        self.assert_refused(certificates.client_context(ca, stranger))
        self.served.put(certificate.pem, certificate.key, other_ca.pem)

        def let_in():
            try:
                self.handshake(certificates.client_context(ca, stranger))
                return True
            except (ssl.SSLError, ConnectionError):
                return False
        programs.wait_until(let_in, "the new authority")
        self.assert_refused(certificates.client_context(ca, client))
        encode(lasting)  # what is open stays open
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
