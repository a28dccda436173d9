"""Makes model directories of a few hundred kilobytes, good and bad ones.

The weights are the random ones of tests/testdata/parity/bert; the tokenizer is
a WordPiece over single characters. Words of more than MAX_WORD_CHARS characters
become one [UNK], so a text of long words is large and has few tokens.
"""

import json
import pathlib
import shutil
import string
import struct

MAX_WORD_CHARS = 100
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer_json():
    characters = string.ascii_lowercase + string.digits + string.punctuation
    entries = SPECIAL_TOKENS + list(characters)
    entries += ["##" + c for c in string.ascii_lowercase + string.digits]
    vocab = {entry: i for i, entry in enumerate(entries)}
    special = {name: {"id": name, "ids": [vocab[name]], "tokens": [name]}
               for name in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[name], "content": name, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for name in SPECIAL_TOKENS],
        "normalizer": {"type": "BertNormalizer", "clean_text": True,
                       "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]",
                  "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": MAX_WORD_CHARS, "vocab": vocab},
    }


def make_tiny_model(folder, testdata):
    """Fills `folder`, which is made; returns its path."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(testdata / "parity" / "bert" / name, folder / name)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    return folder


def read_safetensors(path):
    """Returns (header, data): {name: {dtype, shape, data_offsets}}, bytes."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    return json.loads(content[8:8 + size]), content[8 + size:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
