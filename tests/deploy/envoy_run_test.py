"""deploy/envoy/envoy.yaml in a real Envoy in front of a real server: a peer that
sends what ends gRPC 1.51's connections harms nobody else. tools/long/deploy runs
it, in the environment of the integration tests; ENVOY is the program.
"""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/integration"))
# pylint: disable=wrong-import-position
import certificates
import http2_peer
import programs
import tiny_model
# pylint: enable=wrong-import-position

CONFIG = (ROOT / "deploy/envoy/envoy.yaml").read_text()
POD = "longhand-0.longhand-headless.longhand.svc.cluster.local"
ISOLATION = "connection_pool_per_downstream_connection: true"
BAD_BINARY_HEADER = ("x-odd-bin", "***")
UNAVAILABLE = 14


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class EnvoyRunTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(
            tempfile.TemporaryDirectory(prefix="longhand-test-")))
        cls.authority = certificates.Authority(cls.folder / "ca", "test")
        cls.pod = cls.authority.issue(POD)
        cls.proxy = cls.authority.issue("localhost")
        cls.client = cls.authority.issue("alice.example")
        model = tiny_model.make_tiny_model(cls.folder / "tiny",
                                           programs.TESTDATA_DIR)
        cls.server = cls.enterClassContext(programs.Server(
            model, "--tls-cert", str(cls.pod.pem), "--tls-key",
            str(cls.pod.key), "--tls-client-ca", str(cls.authority.pem)))
        cls.server.wait_until_ready()

    def config(self, port, admin_port):
        """The file with this machine's certificates and addresses, and with
        one server, so that it is known which calls meet."""
        text, left_out = re.subn(
            r" +- endpoint:\n +hostname: longhand-1\..*\n.*\n.*\n", "", CONFIG)
        self.assertEqual(left_out, 1)
        for folder, certificate in (("tls", self.proxy),
                                    ("upstream", self.client)):
            for name, path in (("tls.crt", certificate.pem),
                               ("tls.key", certificate.key),
                               ("ca.crt", self.authority.pem)):
                text = text.replace(f"/etc/envoy/{folder}/{name}", str(path))
        text = text.replace("address: 0.0.0.0, port_value: 50051",
                            f"address: 127.0.0.1, port_value: {port}")
        text = text.replace("port_value: 9901", f"port_value: {admin_port}")
        upstream = self.server.address.rpartition(":")[2]
        return re.sub(r"(\baddress: )longhand-\d[\w.-]*, port_value: 50051",
                      rf"\g<1>127.0.0.1, port_value: {upstream}", text)

    def start(self, change=lambda text: text):
        """Envoy's address, once it serves."""
        port, admin_port = free_ports(2)
        path = self.folder / f"envoy-{port}.yaml"
        path.write_text(change(self.config(port, admin_port)))
        with open(self.folder / f"envoy-{port}.log", "wb") as log:
            envoy = subprocess.Popen(
                [os.environ["ENVOY"], "-c", path, "--concurrency", "1",
                 "--base-id", str(port), "--log-level", "warning"],
                stdout=log, stderr=log)
        self.addCleanup(envoy.wait)
        self.addCleanup(envoy.terminate)
        address = f"127.0.0.1:{port}"

        def serves():
            self.assertIsNone(envoy.poll(), path)
            try:
                with self.connect(address) as peer:
                    return peer.call().status == 0
            except OSError:
                return False
        programs.wait_until(serves, "Envoy")
        return address

    def connect(self, address):
        context = certificates.client_context(self.authority, self.client)
        return http2_peer.Peer(address, context)

    def streams_begun(self):
        (count,) = [value for name, value in self.server.metrics().items()
                    if name.startswith("grpc_server_started_total{")
                    and 'grpc_method="EncodeStream"' in name]
        return count

    def empty_stream(self, peer, meanwhile):
        """The status of a stream without a message that the server had when
        `meanwhile` happened."""
        before = self.streams_begun()
        stream = peer.open(http2_peer.ENCODE_STREAM)
        programs.wait_until(lambda: self.streams_begun() > before, "the stream")
        meanwhile()
        # It may have ended already.
        peer.send_data(stream, b"", end=True)
        return peer.finish(stream).status

    def statuses(self, address):
        """Of a stream by itself, and of one beside a bad header."""
        with self.connect(address) as victim, self.connect(address) as peer:
            alone = self.empty_stream(victim, lambda: None)

            def attack():
                status = peer.call(extra=[BAD_BINARY_HEADER]).status
                self.assertEqual(status, UNAVAILABLE)
            return alone, self.empty_stream(victim, attack)

    def test_bad_header_harms_its_sender_alone(self):
        alone, beside = self.statuses(self.start())
        self.assertEqual(beside, alone)
        self.assertNotEqual(alone, UNAVAILABLE)

    def test_bad_header_harms_those_who_share_a_connection(self):
        """So it is this setting that helps."""
        alone, beside = self.statuses(self.start(lambda text: text.replace(
            ISOLATION, ISOLATION.replace("true", "false"))))
        self.assertNotEqual(alone, UNAVAILABLE)
        self.assertEqual(beside, UNAVAILABLE)

    def test_too_many_headers_are_refused_and_fewer_pass(self):
        address = self.start()
        for extra, passes in (
                ([("x-a", "v" * 5000)], False),
                ([(f"x-{i}", "v") for i in range(70)], False),
                ([(f"x-{i}", "v" * 55) for i in range(52)], True)):
            with self.connect(address) as peer:
                answer = peer.call(extra=extra)
                self.assertEqual(answer.status == 0, passes, len(extra))


if __name__ == "__main__":
    unittest.main()
