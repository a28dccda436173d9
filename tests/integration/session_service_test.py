"""Sessions on the real server with the real model: what they compute is what
one call computes, and what they cost does not grow."""

import os
import pathlib
import random
import unittest

import grpc

import programs
import session_wire
import wire
import wire_case

# ASCII, so that it may be cut anywhere for a whole encoding too.
TEXT = pathlib.Path(os.environ["INTEGRATION_DOCUMENT"]).read_text(
    encoding="utf-8").encode("ascii", "ignore")[:24_000]
# Cuts inside characters too.
MIXED = (TEXT[:6000] + "Größe, 長い文書, naïve – ".encode() * 40
         + TEXT[6000:12_000])
# The default of a document; sessions have no end to wait for.
OPTIONS = {"document_weight": 0}


def cut(text, rng):
    """`text` in pieces of random sizes."""
    pieces, at = [], 0
    while at < len(text):
        size = rng.choice([1, 7, 100, 1500, 4000])
        pieces.append(text[at:at + size])
        at += size
    return pieces


def appends_of(pieces, **fields):
    appends, offset = [], 0
    for piece in pieces:
        appends.append(session_wire.Append(offset, piece, **fields))
        offset += len(piece)
    return appends


def setUpModule():
    global SERVER, CONNECTION
    SERVER, CONNECTION = wire_case.start_server(programs.MODEL_DIR)


class SessionServiceTest(wire_case.WireCase):

    def session_of(self, text, **options):
        session_id = session_wire.create(CONNECTION, **options)
        results = session_wire.append(CONNECTION, session_id,
                                      appends_of([text]))
        return session_id, results[0]

    def assert_chunks(self, chunks, encoded, first=0):
        """Chunk messages are those of `encoded` from `first` on, bit for
        bit."""
        expected = encoded.chunks[first:first + len(chunks)]
        self.assertEqual(len(chunks), len(expected))
        for chunk, other in zip(chunks, expected, strict=True):
            self.assertEqual(
                (chunk.index, chunk.begin_byte, chunk.end_byte, chunk.vector),
                (other.index, other.begin_byte, other.end_byte, other.vector))

    def test_appends_of_any_cut_give_what_one_call_gives(self):
        whole = wire.encode(CONNECTION, MIXED, **OPTIONS)
        for seed in range(3):
            session_id = session_wire.create(CONNECTION)
            pieces = cut(MIXED, random.Random(seed))
            appends = appends_of(pieces)
            appends[-1].close = True
            results = session_wire.append(CONNECTION, session_id, appends)
            chunks = [c for result in results for c in result.chunks]
            self.assert_chunks(chunks, whole)
            self.assertEqual(len(chunks), len(whole.chunks))
            last = results[-1].result
            self.assertEqual(last.committed_offset, len(MIXED))
            self.assertEqual(last.encoded_offset, len(MIXED))
            self.assertEqual(session_wire.stored_text(CONNECTION, session_id),
                             MIXED)

    def test_the_tail_is_as_if_the_document_ended(self):
        session_id = session_wire.create(CONNECTION)
        offset = 0
        for piece in (TEXT[:3000], TEXT[3000:3010], TEXT[3010:5000]):
            result = session_wire.append_text(CONNECTION, session_id, offset,
                                              piece, provisional=True)
            offset += len(piece)
            whole = wire.encode(CONNECTION, TEXT[:offset], **OPTIONS)
            first = len(whole.chunks) - len(result.provisional)
            self.assertGreater(len(result.provisional), 0)
            self.assert_chunks(result.provisional, whole, first)

    def test_repeated_appends_are_done_once(self):
        session_id = session_wire.create(CONNECTION)
        one = session_wire.Append(0, TEXT[:1000])
        first = session_wire.append(CONNECTION, session_id, [one])[0].result
        again = session_wire.append(CONNECTION, session_id, [one])[0].result
        self.assertFalse(first.duplicate)
        self.assertTrue(again.duplicate)
        self.assertEqual(again.committed_offset, 1000)
        self.assertEqual(again.state_digest, first.state_digest)
        append = lambda **fields: session_wire.append(
            CONNECTION, session_id, [session_wire.Append(**fields)])
        info, _ = self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT, "APPEND_ID_REUSED",
            lambda: append(offset=0, content=b"other",
                           append_id=one.append_id))
        self.assertEqual(info.metadata["current_offset"], "1000")
        self.assert_fails(grpc.StatusCode.OUT_OF_RANGE, "OFFSET_GAP",
                          lambda: append(offset=2000, content=b"x"))
        self.assert_fails(grpc.StatusCode.ALREADY_EXISTS,
                          "OFFSET_ALREADY_WRITTEN",
                          lambda: append(offset=10, content=b"x"))

    def test_rewind_and_edit_compute_what_depends_on_it(self):
        session_id, _ = self.session_of(TEXT)
        before = wire.encode(CONNECTION, TEXT, **OPTIONS)
        chunks, result = session_wire.rewind(CONNECTION, session_id, 9000)
        self.assertEqual(result.session.committed_offset, 9000)
        self.assertEqual(result.computed_tokens, 0)
        self.assertEqual(chunks, [])
        self.assertEqual(result.session.generation, 2)
        text = TEXT[:9000]
        edited = text[:5000] + b" An edit in the middle. " + text[5100:]
        chunks, result = session_wire.edit(
            CONNECTION, session_id, 5000, 5100, b" An edit in the middle. ")
        self.assertEqual(session_wire.stored_text(CONNECTION, session_id),
                         edited)
        whole = wire.encode(CONNECTION, edited, **OPTIONS)
        changed = [c.index for c in chunks]
        self.assertEqual(changed, sorted(changed))
        for chunk in chunks:
            self.assert_chunks([chunk], whole, chunk.index)
        unchanged = set(range(result.session.chunk_count)) - set(changed)
        for index in unchanged:
            self.assertEqual(before.chunks[index].vector,
                             whole.chunks[index].vector)
        self.assertLess(result.computed_tokens, 4500 / 2)

    def test_questions_change_nothing_and_find_the_place(self):
        session_id, _ = self.session_of(TEXT)
        session = session_wire.get(CONNECTION, session_id)
        place = 12_000
        sentence = TEXT[place:place + 200].decode(errors="ignore")
        both = session_wire.query(CONNECTION, session_id, sentence,
                                  "something else", texts=True)
        alone = session_wire.query(CONNECTION, session_id, sentence,
                                   texts=True)
        self.assertEqual(both.answers[0], alone.answers[0])
        best = both.answers[0].similar[0]
        self.assertLess(best.begin_byte, place + 200)
        self.assertGreater(best.end_byte, place)
        self.assertEqual(best.text, TEXT[best.begin_byte:best.end_byte])
        weights = [c.score for c in session_wire.query(
            CONNECTION, session_id, sentence,
            max_attended=1000).answers[0].attended]
        self.assertAlmostEqual(sum(weights), 1, places=3)
        self.assertEqual(weights, sorted(weights, reverse=True))
        after = session_wire.get(CONNECTION, session_id)
        self.assertEqual(after.state_digest, session.state_digest)
        self.assertEqual(after.committed_offset, session.committed_offset)

    def test_a_fork_goes_its_own_way(self):
        session_id, _ = self.session_of(TEXT[:8000])
        child = session_wire.fork(CONNECTION, session_id)
        self.assertEqual(child.parent_session_id, session_id)
        self.assertEqual(child.committed_offset, 8000)
        ours = session_wire.append_text(CONNECTION, session_id, 8000,
                                        TEXT[8000:12_000])
        theirs = session_wire.append_text(CONNECTION, child.session_id, 8000,
                                          TEXT[15_000:19_000])
        for text, result in ((TEXT[:12_000], ours),
                             (TEXT[:8000] + TEXT[15_000:19_000], theirs)):
            whole = wire.encode(CONNECTION, text, **OPTIONS)
            self.assert_chunks(result.chunks, whole, result.chunks[0].index)

    def test_the_same_text_is_computed_once(self):
        # Text that no other test sends.
        text = TEXT[::-1].decode(errors="ignore").encode()[:6000]
        _, first = self.session_of(text)
        _, second = self.session_of(text)
        self.assertGreater(first.result.computed_tokens, 0)
        self.assertEqual(second.result.computed_tokens, 0)
        self.assertEqual(second.result.reused_tokens,
                         first.result.computed_tokens)
        self.assertEqual([c.vector for c in first.chunks],
                         [c.vector for c in second.chunks])

    def test_two_pass(self):
        options = {"visibility": wire.encoder_pb.VISIBILITY_TWO_PASS,
                   "chunker": "structural"}
        session_id, result = self.session_of(TEXT[:9000], **options)
        self.assertTrue(all(not c.vector for c in result.chunks))
        result = session_wire.append_text(
            CONNECTION, session_id, 9000, TEXT[9000:10_000], provisional=True)
        whole = wire.encode(CONNECTION, TEXT[:10_000], **OPTIONS, **options)
        self.assert_chunks(result.provisional, whole)
        chunks, change = session_wire.edit(CONNECTION, session_id, 1000, 1003,
                                           b"new")
        text = TEXT[:1000] + b"new" + TEXT[1003:10_000]
        whole = wire.encode(CONNECTION, text, **OPTIONS, **options)
        self.assertLess(change.computed_tokens,
                        whole.summary.received_tokens / 2)
        self.assert_chunks(chunks, whole)

    def test_snapshots_go_on_with_the_same_bits(self):
        session_id, _ = self.session_of(TEXT[:7000])
        data = session_wire.export(CONNECTION, session_id)
        # A tiny difference anywhere is noticed.
        for place in (0, len(data) // 2, len(data) - 1):
            damaged = bytearray(data)
            damaged[place] ^= 1
            self.assert_fails(
                grpc.StatusCode.INVALID_ARGUMENT, "SNAPSHOT_INVALID",
                lambda d=bytes(damaged): session_wire.import_snapshot(
                    CONNECTION, d))
        with programs.Server(programs.MODEL_DIR) as other:
            connection = wire.Connection(other.wait_until_ready().address)
            self.addCleanup(connection.close)
            session = session_wire.import_snapshot(connection, data)
            self.assertEqual(session.committed_offset, 7000)
            result = session_wire.append_text(
                connection, session.session_id, 7000, TEXT[7000:9000],
                close=True)
            whole = wire.encode(CONNECTION, TEXT[:9000], **OPTIONS)
            self.assert_chunks(result.chunks, whole, result.chunks[0].index)
            # Nothing but the tail of the snapshot was computed.
            self.assertLess(result.result.computed_tokens, 1000)
            self.assertEqual(other.stop(), 0)
        with programs.Server(programs.MODEL_DIR, "--precision", "int8") as other:
            connection = wire.Connection(other.wait_until_ready().address)
            self.addCleanup(connection.close)
            info, message = self.assert_fails(
                grpc.StatusCode.FAILED_PRECONDITION,
                "MODEL_FINGERPRINT_MISMATCH",
                lambda: session_wire.import_snapshot(connection, data))
            self.assertIn(info.metadata["field"], message)
            self.assertEqual(other.stop(), 0)

    def test_list_delete_and_expiry(self):
        ids = {session_wire.create(CONNECTION) for _ in range(5)}
        listed, token = set(), ""
        while True:
            page = CONNECTION.sessions.ListSessions(
                session_wire.pb.ListSessionsRequest(page_size=2,
                                                    page_token=token))
            self.assertLessEqual(len(page.sessions), 2)
            listed |= {session.session_id for session in page.sessions}
            token = page.next_page_token
            if not token:
                break
        self.assertLessEqual(ids, listed)
        for session_id in ids:
            CONNECTION.sessions.DeleteSession(
                session_wire.pb.DeleteSessionRequest(session_id=session_id))
            self.assert_fails(
                grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND",
                lambda i=session_id: session_wire.get(CONNECTION, i))
        short = session_wire.create(CONNECTION, ttl_seconds=1)
        programs.wait_until(lambda: self.is_expired(short), "the expiry")

    def is_expired(self, session_id):
        # A look would keep it alive: wait longer than its time to live first.
        import time
        time.sleep(1.5)
        with self.assertRaises(grpc.RpcError) as caught:
            session_wire.get(CONNECTION, session_id)
        info = wire.error_info(wire.rpc_status(caught.exception))
        return info.reason == "SESSION_EXPIRED"

    def test_what_a_session_cannot_do_is_said(self):
        for options, code, reason in (
                ({"visibility": wire.encoder_pb.VISIBILITY_BIDIRECTIONAL},
                 grpc.StatusCode.FAILED_PRECONDITION, "NOT_STREAMABLE"),
                ({"document_weight": -0.5},
                 grpc.StatusCode.INVALID_ARGUMENT,
                 "DOCUMENT_WEIGHT_IN_SESSION")):
            self.assert_fails(
                code, reason,
                lambda o=options: session_wire.create(CONNECTION, **o))
        session_id, _ = self.session_of(TEXT[:100])
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION, "DURABILITY_UNAVAILABLE",
            lambda: session_wire.append_text(
                CONNECTION, session_id, 100, b"x",
                durability=session_wire.SHARED))
        self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_UTF8",
            lambda: session_wire.append_text(CONNECTION, session_id, 100,
                                             b"\xff"))
        self.assert_fails(
            grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND",
            lambda: session_wire.get(CONNECTION, "x" * 22))

    def test_nothing_of_a_document_is_logged(self):
        canary = b"canarywordthatnobodyelsewrites "
        session_id, _ = self.session_of(canary * 50)
        session_wire.query(CONNECTION, session_id, canary.decode())
        self.assertNotIn(canary[:10].decode(), SERVER.log())
        self.assertNotIn(canary[:10].decode(), SERVER.scrape())


if __name__ == "__main__":
    unittest.main()
