"""What the tests of hostile and slow peers share: a server under attack, and
what must hold after every attack."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import grpc

import programs
import wire

MODEL = programs.TESTDATA_DIR / "parity" / "bert"
MIB = 1 << 20
# Sanitizers keep freed memory for a while.
MEASURES_MEMORY = "INTEGRATION_SANITIZED" not in os.environ


def grpc_version():
    """Of the server's gRPC, as numbers."""
    text = subprocess.run([programs.SERVER_PROGRAM, "--version"], check=True,
                          capture_output=True, text=True).stdout
    return tuple(map(int, re.search(r"gRPC (\d+)\.(\d+)\.(\d+)",
                                    text).groups()))


def encode(connection, tokens=20):
    request = wire.encoder_pb.EncodeRequest(
        token_ids=wire.encoder_pb.TokenIds(ids=[10] * tokens))
    return connection.encoder.Encode(request, timeout=60)


def connect(address):
    """Unlike wire.Connection: not by a TCP connection that another channel to
    the same address has open."""
    return wire.Connection(address, grpc.insecure_channel(
        address, [("grpc.use_local_subchannel_pool", 1)]))


def encode_anew(address):
    """On a connection of its own."""
    connection = connect(address)
    try:
        encode(connection)
    finally:
        connection.close()


@contextlib.contextmanager
def temporary_folder():
    with tempfile.TemporaryDirectory(prefix="longhand-test-") as folder:
        yield pathlib.Path(folder)


class HostileCase(unittest.TestCase):
    """A server for the class, and a client that has nothing to do with the
    attacks. After each test the client is served, on its connection and on a
    new one, memory has grown by no more than `growth`, and no descriptor is
    left open."""

    FLAGS = ()
    growth = 32 * MIB

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(programs.Server(
            MODEL, "--without-tokenizer", "--workers", "1", *cls.FLAGS))
        cls.address = cls.server.wait_until_ready().address
        cls.victim = wire.Connection(cls.address)
        cls.addClassCleanup(cls.victim.close)
        for tokens in (20, 2000, 20_000):  # grows to its size at work
            encode(cls.victim, tokens)
        encode_anew(cls.address)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        if code != 0:
            raise AssertionError(
                f"exit code {code}:\n{cls.server.log()[-4000:]}")

    def setUp(self):
        self.descriptors = programs.wait_until(self.settled_descriptors,
                                               "descriptors to settle")
        self.memory = self.server.memory_bytes("VmHWM")

    def settled_descriptors(self):
        """How many are open, or None while that changes."""
        before = self.open_descriptors()
        time.sleep(0.1)
        return before if self.open_descriptors() == before else None

    def open_descriptors(self):
        return self.server.metrics()["process_open_fds"]

    def tearDown(self):
        encode(self.victim)
        encode_anew(self.address)
        programs.wait_until(
            lambda: self.open_descriptors() <= self.descriptors,
            "the attack's descriptors to be closed")
        programs.wait_until(lambda: self.server.open_documents() == 0,
                            "the attack's documents to be closed")
        if MEASURES_MEMORY:
            self.assertLessEqual(self.server.memory_bytes("VmHWM"),
                                 self.memory + self.growth)
