"""A document of the largest size that the server takes by default, 64 MiB.

With the tiny model, whose tokenizer makes one [UNK] of every long word, so that
the test is about bytes and memory, not about computing. The number of tokens is
known from how the text is made: nothing may be lost.

Memory: the server may keep, besides what it has before the document,
* a state and the byte spans of each chunk, here below 40 MiB,
* the text it has not made tokens of: max_pending_bytes (1 MiB), the message
  being read and the one sent, and a segment of 64 KiB at half a KiB per byte,
* the allocator's slack in the threads of gRPC and the workers.
That was 63 MiB in all when this was written. A server that kept the document's
text would need 64 MiB more, one that made all of its tokens at once half a KiB
for each byte. MAX_GROWTH_BYTES lies below the first of these.
"""

import json
import os
import pathlib
import random
import string
import tempfile
import unittest

import programs
import tiny_model

DOCUMENT_BYTES = 64 << 20
LETTERS = string.ascii_letters + "éßжЯ한"
MAX_GROWTH_BYTES = 120 << 20
CHUNK_TOKENS = 128  # two of them special
TOLERANCE = 1e-5


def make_document(rng):
    """Returns (text of DOCUMENT_BYTES bytes, its number of tokens).

    A word of more than MAX_WORD_CHARS characters is one token; a short one has
    a token per letter.
    """
    long_words = ["".join(rng.choices(LETTERS, k=rng.randrange(200, 700)))
                  for _ in range(997)]
    pieces, tokens, size = [], 0, 0
    while size < DOCUMENT_BYTES - 4000:
        if rng.random() < 0.9:
            word = rng.choice(long_words)
            tokens += 1
        else:
            word = "".join(rng.choices(string.ascii_lowercase,
                                       k=rng.randrange(1, 9)))
            tokens += len(word)
        gap = rng.choice([" ", "\n", "\r\n", "\t", "\u3000"])
        piece = (word + gap).encode()
        pieces.append(piece)
        size += len(piece)
    pieces.append(b"x" * (DOCUMENT_BYTES - size))
    return b"".join(pieces), tokens + 1


class LargeDocumentTest(unittest.TestCase):

    def test_64_mib_from_a_file_and_from_a_pipe(self):
        text, tokens = make_document(random.Random(6))
        self.assertEqual(len(text), DOCUMENT_BYTES)
        with tempfile.TemporaryDirectory(prefix="longhand-test-") as folder:
            folder = pathlib.Path(folder)
            file = folder / "document.txt"
            file.write_bytes(text)
            model = tiny_model.make_tiny_model(folder / "tiny",
                                               programs.TESTDATA_DIR)
            with programs.Server(model, "--workers", "2") as server:
                before = server.wait_until_ready().memory_bytes("VmRSS")
                from_file = self.encode(server, file)
                from_pipe = self.encode(server, "-", stdin=text)
                growth = server.memory_bytes("VmHWM") - before
                self.assertEqual(server.stop(), 0)
        for lines in (from_file, from_pipe):
            self.check_lines(lines, tokens)
        for ours, theirs in zip(from_file, from_pipe, strict=True):
            self.assert_same_line(ours, theirs)
        print(f"{tokens} tokens; the server grew by {growth >> 20} MiB")
        if os.environ.get("INTEGRATION_SANITIZED"):
            print("a sanitizer needs memory of its own: the bound is not "
                  "checked")
        else:
            self.assertLess(growth, MAX_GROWTH_BYTES)

    def encode(self, server, source, stdin=None):
        output = programs.run_client(
            server, "encode", source, "--output", "jsonl", "--chunk-tokens",
            CHUNK_TOKENS, stdin=stdin)
        return [json.loads(line) for line in output.splitlines()]

    def check_lines(self, lines, tokens):
        """One line per chunk, whose spans tile the document, and the result."""
        byte, token = 0, 0
        for index, chunk in enumerate(lines[:-1]):
            self.assertEqual(
                (chunk["type"], chunk["index"], chunk["begin_byte"],
                 chunk["begin_token"]), ("chunk", index, byte, token))
            self.assertEqual(len(chunk["vector"]), 64)
            byte, token = chunk["end_byte"], chunk["end_token"]
            self.assertEqual(token, min(tokens, (index + 1)
                                        * (CHUNK_TOKENS - 2)))
        result = lines[-1]
        self.assertEqual(result["type"], "result")
        summary = result["summary"]
        self.assertEqual((byte, token), (DOCUMENT_BYTES, tokens))
        self.assertEqual((summary["received_bytes"],
                          summary["received_tokens"],
                          summary["chunk_count"]),
                         (DOCUMENT_BYTES, tokens, len(lines) - 1))

    def assert_same_line(self, ours, theirs):
        for key in ("vector", "document_vector"):
            for one, other in zip(ours.get(key) or [], theirs.get(key) or [],
                                  strict=True):
                self.assertTrue(abs(one - other) <= TOLERANCE, key)
        for key in ("type", "index", "begin_byte", "end_byte"):
            self.assertEqual(ours.get(key), theirs.get(key))


if __name__ == "__main__":
    unittest.main(verbosity=2)
