#!/usr/bin/env python3
"""Compares Longhand's tokens with those of PyPI tokenizers.

10,000 seeded random texts and real text, each as one Encode and through a
TextStream with random cuts: ids and byte offsets must all be equal.
"""
import argparse
import glob
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

import tokenizers

RANDOM_TEXTS = 10_000
REAL_TEXT_BYTES = 3 << 20
REAL_FILE_BYTES = 1 << 18

SPACES = [chr(c) for c in (
    *range(0x09, 0x0E), 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x180E,
    *range(0x2000, 0x200E), 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000,
    0xFEFF)]
LITERALS = [
    "[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]", "<mask>", "<s>", "</s>",
    "<pad>", "<unk>", " <mask>", "\u3000<mask>", "\u00a0\u2003 <mask>",
    "[mask]", "it's", "we'll", "I'VE", "ﬁ", "½", "\ufdfa", "\u00a8", "ß", "İ",
    "👩\u200d👩\u200d👧\u200d👦", "👍🏽", "🇩🇪", "❤\ufe0f", "e\u0301\u0323",
    "가", "각",
]


def random_char(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return chr(rng.randrange(0x20, 0x7F))
    if kind == 1:
        return chr(rng.randrange(0x00, 0x20))
    if kind == 2:
        return chr(rng.randrange(0x80, 0x800))
    if kind == 3:
        return chr(rng.randrange(0x300, 0x370))
    if kind == 4:
        return chr(rng.choice([rng.randrange(0x3400, 0xA000),
                               rng.randrange(0xAC00, 0xD7A4),
                               rng.randrange(0xF900, 0xFB00)]))
    if kind == 5:
        return chr(rng.randrange(0x1F300, 0x1FB00))
    if kind == 6:
        return chr(rng.randrange(0x10000, 0x110000))
    return chr(rng.choice([rng.randrange(0x800, 0xD800),
                           rng.randrange(0xE000, 0x10000)]))


def random_part(rng):
    kind = rng.randrange(10)
    if kind < 3:
        letters = "etaoinshrdluETAOIN"
        return "".join(rng.choices(letters, k=rng.randrange(1, 12)))
    if kind < 5:
        return " "
    if kind == 5:
        return "".join(rng.choices(SPACES, k=rng.randrange(1, 4)))
    if kind == 6:
        return rng.choice(LITERALS)
    if kind == 7 and rng.randrange(20) == 0:
        return "".join(rng.choices("abcdé中", k=rng.randrange(90, 400)))
    return "".join(random_char(rng) for _ in range(rng.randrange(1, 5)))


def random_texts():
    rng = random.Random(20240131)
    for _ in range(RANDOM_TEXTS):
        yield "".join(random_part(rng) for _ in range(rng.randrange(0, 40)))


def real_texts(license_path):
    """The project's licence and what documentation this system has."""
    paths = sorted(glob.glob("/usr/share/common-licenses/*"))
    # Not glob: it follows links, and some packages' lead in circles.
    documentation = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk("/usr/share/doc") for name in names)
    random.Random(7).shuffle(documentation)
    total = 0
    for path in [license_path, *paths, *documentation]:
        if not os.path.isfile(path) or path.endswith(".gz"):
            continue
        with open(path, "rb") as file:
            data = file.read(REAL_FILE_BYTES)
        # A cut character at the end is not the file's fault.
        text = data.decode("utf-8", errors="ignore")
        if len(text.encode()) < len(data) - 3:
            continue
        total += len(data)
        if total > REAL_TEXT_BYTES:
            return
        yield text


def request(text, rng):
    longest = rng.choice([1, 3, 50, 5000])
    count = min(2000, 2 * len(text.encode()) // longest)
    pieces = [rng.randrange(1, longest + 1) for _ in range(count)]
    segment_bytes = rng.choice([1, 20, 200, 65536])
    return {"text": text, "pieces": pieces, "segment_bytes": segment_bytes}


def expected_tokens(tokenizer, text):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    byte_of_char = [0, *itertools.accumulate(
        len(char.encode()) for char in text)]
    return {
        "ids": encoding.ids,
        "begin": [byte_of_char[begin] for begin, _ in encoding.offsets],
        "end": [byte_of_char[end] for _, end in encoding.offsets],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dump", required=True, help="tokenizer_dump")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--license", required=True, help="a text file")
    args = parser.parse_args()

    tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    real = list(real_texts(args.license))
    texts = [*random_texts(), *real]
    rng = random.Random(99)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as requests:
        for text in texts:
            requests.write(json.dumps(request(text, rng)) + "\n")
        requests.flush()
        requests.seek(0)
        with subprocess.Popen([args.dump, args.tokenizer], stdin=requests,
                              stdout=subprocess.PIPE, text=True) as dump:
            tokens = 0
            answered = 0
            for text, line in zip(texts, dump.stdout):
                expected = expected_tokens(tokenizer, text)
                answer = json.loads(line)
                for how in ("whole", "stream"):
                    if answer[how] != expected:
                        dump.kill()
                        sys.exit(f"{how}, text {answered}: {text!r}\n"
                                 f"expected {expected}\n"
                                 f"got      {answer[how]}")
                tokens += len(expected["ids"])
                answered += 1
    if answered != len(texts) or dump.returncode != 0:
        sys.exit(f"{answered} of {len(texts)} texts were answered")
    print(f"{RANDOM_TEXTS} random texts and {len(real)} real texts of "
          f"{sum(len(t.encode()) for t in real)} bytes: "
          f"all {tokens} tokens are equal")


if __name__ == "__main__":
    main()
