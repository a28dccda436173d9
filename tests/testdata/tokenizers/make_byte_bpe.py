#!/usr/bin/env python3
"""Makes byte_bpe.json: a small byte-level BPE tokenizer in RoBERTa's style.

Usage: make_byte_bpe.py TEXT_FILE OUTPUT
Needs PyPI tokenizers 0.22.2. The committed file was trained on ../../../LICENSE
and the lines below. Like RoBERTa's, it trims offsets, has a <mask> that
swallows the white space before it, and frames a sequence with <s> and </s>.
"""
import json
import sys

import tokenizers
from tokenizers import models, pre_tokenizers, processors, trainers

LINES = [
    "Ångström, naïve café, Straße, œuvre, ﬁne, İstanbul, coöperate",
    "Привет, мир! Съешь же ещё этих мягких французских булок",
    "Καλημέρα κόσμε, ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "深層学習は面白い。自然言語処理の入門。こんにちは世界",
    "नमस्ते दुनिया, हिन्दी में लिखा हुआ पाठ",
    "مرحبا بالعالم، هذا نص باللغة العربية",
    "한국어 문장은 띄어쓰기를 합니다.",
    "x = f(a[i], b[j]) + 3.14159 * 10**-7;  // 2024-01-31T23:59:59Z",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️ 😀😃😄",
] * 8


def main() -> None:
    text_file, output = sys.argv[1:]
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = [
        tokenizers.AddedToken(content, special=True, normalized=False,
                              lstrip=content == "<mask>")
        for content in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=1000, show_progress=False, special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    with open(text_file, encoding="utf-8") as file:
        tokenizer.train_from_iterator([*file, *LINES], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", tokenizer.token_to_id("</s>")),
        cls=("<s>", tokenizer.token_to_id("<s>")),
        trim_offsets=True, add_prefix_space=False)
    with open(output, "w", encoding="utf-8") as file:
        json.dump(json.loads(tokenizer.to_str()), file, ensure_ascii=False,
                  separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
