"""kill -9 against an oracle of what was acknowledged.

Writers append to their sessions on a real server with a RocksDB store, some
appends with durability LOCAL and some with MEMORY, until the server is killed
at a random moment. On the server started after it:
* nothing acknowledged as LOCAL is missing, and nothing is there that was not
  sent;
* every session ends at the border of an append, and its digest is the one that
  its appends give;
* the append that was on its way is sent again and is there exactly once.
At the end every session's chunks have the oracle's text and are those of the
whole text encoded in one call (the 1,000 that are nearest to a question).

20 rounds; LONGHAND_KILL_ROUNDS sets another number, LONGHAND_KILL_SEED repeats
a run's choices (its threads still race).
"""

import dataclasses
import os
import pathlib
import random
import tempfile
import threading
import time
import unittest

import grpc

import programs
import session_digest
import session_wire
import tiny_model
import wire

ROUNDS = int(os.environ.get("LONGHAND_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("LONGHAND_KILL_SEED", time.time_ns() % 10**9))
SESSIONS = 4
MAX_CHUNKS = 1000  # that one question gets
WORDS = [bytes([97 + i % 26]) * (1 + i % 7) for i in range(97)]


@dataclasses.dataclass
class Oracle:
    """What one session was sent and what was answered."""
    session_id: str
    appends: list = dataclasses.field(default_factory=list)  # answered
    durable: int = 0  # offset acknowledged as LOCAL
    in_flight: object = None  # sent, no answer
    duplicates: int = 0
    lost: int = 0  # MEMORY appends that a kill took

    @property
    def offset(self):
        return self.appends[-1].end if self.appends else 0

    def text(self):
        return b"".join(one.content for one in self.appends)

    def digest(self):
        digest = session_digest.EMPTY
        for one in self.appends:
            digest = session_digest.after_append(digest, one.content)
        return digest


def make_append(rng, oracle):
    content = b" ".join(rng.choices(WORDS, k=rng.randrange(1, 120))) + b" "
    durability = rng.choice([session_wire.LOCAL, session_wire.MEMORY])
    return session_wire.Append(oracle.offset, content, durability=durability)


class Writer(threading.Thread):
    """Appends to one session until the server is gone."""

    def __init__(self, address, oracle, seed):
        super().__init__()
        self.address, self.oracle = address, oracle
        self.rng = random.Random(seed)
        self.failure = None

    def run(self):
        connection = wire.Connection(self.address)
        try:
            while True:
                self.step(connection)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                self.failure = error
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            connection.close()

    def step(self, connection):
        oracle = self.oracle
        one = oracle.in_flight or make_append(self.rng, oracle)
        oracle.in_flight = one
        result = session_wire.append(connection, oracle.session_id,
                                     [one])[0].result
        if result.committed_offset != one.end:
            raise AssertionError(f"{result} for {one.offset} + "
                                 f"{len(one.content)}")
        if one.durability == session_wire.LOCAL:
            if result.durable_offset < one.end:
                raise AssertionError(f"LOCAL, but {result}")
            oracle.durable = one.end
        oracle.durable = max(oracle.durable, result.durable_offset)
        oracle.duplicates += result.duplicate
        oracle.appends.append(one)
        oracle.in_flight = None
        if result.state_digest != oracle.digest():
            raise AssertionError("the digest is not that of the appends")


class SessionKillTest(unittest.TestCase):

    def start(self):
        server = programs.Server(
            self.model, "--session-store", "rocksdb", "--session-dir",
            str(self.folder / "sessions"), "--session-owner", "kill-test",
            "--session-write-behind", "0.2")
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server.wait_until_ready()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="longhand-kill-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model = tiny_model.make_tiny_model(self.folder / "model",
                                                programs.TESTDATA_DIR)

    def check(self, connection, oracle):
        """What the new server has is what the old one owed; truncates the
        oracle to it."""
        session = session_wire.get(connection, oracle.session_id)
        self.assertGreaterEqual(session.committed_offset, oracle.durable)
        kept = [one for one in oracle.appends
                if one.end <= session.committed_offset]
        oracle.lost += len(oracle.appends) - len(kept)
        applied = oracle.in_flight
        if applied is not None and session.committed_offset == applied.end:
            # Not answered, but done: sending it again must say so.
            kept.append(applied)
        oracle.appends = kept
        self.assertEqual(session.committed_offset, oracle.offset,
                         "not the border of an append")
        self.assertEqual(session.state_digest, oracle.digest())
        one = oracle.in_flight
        if one is None:
            return
        if one.end == oracle.offset:
            result = session_wire.append(connection, oracle.session_id,
                                         [one])[0].result
            self.assertTrue(result.duplicate)
            self.assertEqual(result.committed_offset, one.end)
            oracle.duplicates += 1
            oracle.durable = max(oracle.durable, result.durable_offset)
        elif one.offset > oracle.offset:
            with self.assertRaises(grpc.RpcError) as caught:
                session_wire.append(connection, oracle.session_id, [one])
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.OUT_OF_RANGE)
        if one.offset != oracle.offset:
            oracle.in_flight = None

    def check_chunks(self, connection, oracle):
        text = oracle.text()
        whole = wire.encode(connection, text, document_weight=0)
        response = session_wire.query(
            connection, oracle.session_id, "abc", max_similar=MAX_CHUNKS,
            document_weight=0, texts=True)
        self.assertEqual(response.committed_offset, len(text))
        self.assertEqual(response.chunk_count, len(whole.spans))
        answer = response.answers[0]
        self.assertEqual(len(answer.similar),
                         min(MAX_CHUNKS, len(whole.spans)))
        own = wire.floats(answer.own_vector)
        hidden = len(own)
        for chunk in answer.similar:
            vector = whole.vectors[chunk.index * hidden:
                                   (chunk.index + 1) * hidden]
            cosine = sum(a * b for a, b in zip(own, vector, strict=True))
            cosine /= sum(a * a for a in own) ** 0.5
            cosine /= sum(a * a for a in vector) ** 0.5
            self.assertAlmostEqual(chunk.score, cosine, places=4)
            self.assertEqual((chunk.begin_byte, chunk.end_byte),
                             whole.spans[chunk.index][:2])
            self.assertEqual(chunk.text,
                             text[chunk.begin_byte:chunk.end_byte])

    def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(self):
        print(f"LONGHAND_KILL_SEED={SEED} LONGHAND_KILL_ROUNDS={ROUNDS}")
        rng = random.Random(SEED)
        server = self.start()
        connection = wire.Connection(server.address)
        oracles = [Oracle(session_wire.create(connection))
                   for _ in range(SESSIONS)]
        # A session is the store's with its first durable append.
        for oracle in oracles:
            one = session_wire.Append(0, b"first ",
                                      durability=session_wire.LOCAL)
            session_wire.append(connection, oracle.session_id, [one])
            oracle.appends.append(one)
            oracle.durable = one.end
        connection.close()
        for number in range(ROUNDS):
            writers = [Writer(server.address, oracle, rng.random())
                       for oracle in oracles]
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(0.02, 0.7))
            server.kill()
            for writer in writers:
                writer.join()
                self.assertIsNone(writer.failure, f"round {number}")
            server = self.start()
            connection = wire.Connection(server.address)
            for oracle in oracles:
                self.check(connection, oracle)
            connection.close()
        connection = wire.Connection(server.address)
        self.addCleanup(connection.close)
        for oracle in oracles:
            self.check_chunks(connection, oracle)
        self.assertEqual(server.stop(), 0)
        appends = sum(len(oracle.appends) for oracle in oracles)
        print(f"{ROUNDS} kills, {appends} appends kept, "
              f"{sum(o.duplicates for o in oracles)} answered as duplicates, "
              f"{sum(o.lost for o in oracles)} of MEMORY lost")
        self.assertGreater(appends, ROUNDS)


if __name__ == "__main__":
    unittest.main()
