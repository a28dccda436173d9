#!/usr/bin/env python3
"""Makes the golden files in tests/golden from PyTorch.

They let the C++ tests check Longhand's numbers without PyTorch. Written are
minilm_sentences, minilm_bsbr and tiny_bsbr, each a .json (texts, settings) and
a .safetensors (ids, results); tests/golden/README.md lists what is in them.

The forward pass and the block retrieval here are an implementation of their
own: plain formulas in float64, one chunk at a time, so there is neither
padding nor a mask to get wrong. Before anything is written, the plain forward
is compared with transformers' BertModel, the block retrieval with the same
sum taken key by key, and the sentence vectors with sentence-transformers.

Set up:  pip install -r tools/requirements-golden.txt
Run:     tools/make_golden.py --model models/all-MiniLM-L6-v2

The texts are read from the .json files that are there. To pick them anew from
the Jargon File (public domain; Debian package jargon-text, the file
usr/share/doc/jargon-text/jargon.txt.gz), add --jargon FILE. The same inputs
and versions give the same texts and ids everywhere and the same vectors up to
the last bits of float32, on one machine the same bytes.
"""

import argparse
import gzip
import hashlib
import json
import math
import os
import pathlib
import re
from dataclasses import dataclass

os.environ["HF_HUB_OFFLINE"] = "1"

import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn import functional

ROOT = pathlib.Path(__file__).resolve().parent.parent

SOURCE = "The Jargon File 4.4.7, 29 Dec 2003 (public domain)"
SENTENCES = 200
# Words from, words to, how many sentences of that length are picked.
LENGTHS = [(3, 5, 25), (6, 10, 40), (11, 20, 60), (21, 40, 50), (41, 60, 15),
           (61, 100, 10)]
ACCENTED = 12  # of them, as far as their lengths allow
SENTENCE_WORDPIECES = 126  # a sentence has fewer
DOCUMENT_WORDPIECES = 1150  # about
CLOSERS = "”’)\\]\"'"

# The gate of the runs whose names do not say theirs.
GATE = 0.4


# --- Texts ------------------------------------------------------------------


def read_paragraphs(path):
    """The prose of the introduction and the lexicon, one string a paragraph."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        text = file.read()
    text = re.split(r"^Chapter\s1\..*$|^ *Part\sIII\.", text, flags=re.M)[1]
    # Prose is set three columns in; tables and listings are not.
    return [" ".join(block.split())
            for block in re.split(r"\n\s*\n", text)
            if all(re.match(r" {3}\S", line)
                   for line in block.strip("\n").split("\n"))
            and not re.search(r"[\u2500-\u257f]|www\.|@", block)]


def split_sentences(paragraph):
    """Cuts after . ! ? where a new sentence plainly begins."""
    cut = re.compile(rf"[.!?][{CLOSERS}]*\s+(?=[“‘(]?[A-Z])")
    short = re.compile(
        r"\b([A-Z]|e\.g|i\.e|vs|etc|esp|usu|cf|ca|Mr|Mrs|Dr|St|No|pp?)$")
    begin = 0
    for match in cut.finditer(paragraph):
        if not short.search(paragraph[begin:match.start()]):
            yield paragraph[begin:match.end()].rstrip()
            begin = match.end()
    yield paragraph[begin:]


def is_whole(sentence):
    """Whether it begins and ends like a sentence, brackets closed."""
    pairs = ["()", "{}", "[]", "“”", "‘’"]
    return (re.match(r"[“‘(]?[A-Z]", sentence) is not None
            and re.search(rf"[.!?][{CLOSERS}]*$", sentence) is not None
            and all(sentence.count(a) == sentence.count(b) for a, b in pairs))


def is_accented(sentence):
    return re.search(r"[À-ÖØ-öø-ɏ]", sentence) is not None


def pick_sentences(paragraphs, tokenizer):
    """SENTENCES sentences in an order that mixes the lengths."""
    def rank(sentence):
        return hashlib.sha256(sentence.encode()).digest()

    candidates = sorted(
        {sentence for paragraph in paragraphs
         for sentence in split_sentences(paragraph)
         if is_whole(sentence)
         and len(tokenizer.encode(sentence, add_special_tokens=False).ids)
         < SENTENCE_WORDPIECES}, key=rank)
    accented = [s for s in candidates if is_accented(s)][:ACCENTED]
    candidates = accented + [s for s in candidates if s not in accented]
    picked = []
    for low, high, count in LENGTHS:
        picked += [s for s in candidates
                   if low <= len(s.split()) <= high][:count]
    assert len(picked) == SENTENCES, len(picked)
    return sorted(picked, key=rank)


def pick_document(paragraphs, tokenizer):
    """The first paragraphs, to the sentence end nearest the wanted length."""
    text = best = ""
    distance = math.inf
    for paragraph in paragraphs:
        joint = "\n\n" if text else ""
        for sentence in split_sentences(paragraph):
            text += joint + sentence
            joint = " "
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            if abs(len(ids) - DOCUMENT_WORDPIECES) >= distance:
                return best
            best, distance = text, abs(len(ids) - DOCUMENT_WORDPIECES)
    raise ValueError("the text is too short")


# --- The model --------------------------------------------------------------


class Bert:
    """A BERT encoder in float64. Chunks are lists of ids, specials included."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] == "bert", config["model_type"]
        assert config["hidden_act"] == "gelu", config["hidden_act"]
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.hidden = config["hidden_size"]
        self.eps = config["layer_norm_eps"]
        self.weights = {name: tensor.double() for name, tensor in
                        load_file(folder / "model.safetensors").items()}

    def linear(self, name, rows):
        return (rows @ self.weights[name + ".weight"].T
                + self.weights[name + ".bias"])

    def norm(self, name, rows):
        centred = rows - rows.mean(-1, keepdim=True)
        scale = centred.square().mean(-1, keepdim=True).add(self.eps).sqrt()
        return (centred / scale * self.weights[name + ".weight"]
                + self.weights[name + ".bias"])

    def embed(self, ids):
        """[rows, hidden]; positions start at 0, all tokens are of type 0."""
        def table(name):
            return self.weights[f"embeddings.{name}_embeddings.weight"]

        return self.norm("embeddings.LayerNorm",
                         table("word")[ids] + table("position")[:len(ids)]
                         + table("token_type")[0])

    def project(self, layer, name, rows):
        """[heads, rows, head size]"""
        flat = self.linear(f"encoder.layer.{layer}.attention.self.{name}", rows)
        return flat.view(len(rows), self.heads, -1).transpose(0, 1)

    def finish(self, layer, rows, mixed):
        """The layer after its attention: `mixed` [heads, rows, head size]."""
        name = f"encoder.layer.{layer}."
        flat = mixed.transpose(0, 1).reshape(len(rows), self.hidden)
        rows = self.norm(
            name + "attention.output.LayerNorm",
            rows + self.linear(name + "attention.output.dense", flat))
        wide = self.linear(name + "intermediate.dense", rows)
        wide = wide * (1 + torch.erf(wide / math.sqrt(2))) / 2
        return self.norm(name + "output.LayerNorm",
                         rows + self.linear(name + "output.dense", wide))


def local_attention(q, k, v):
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v


def phi(x):
    return functional.elu(x) + 1


def retrieval_weights(queries, keys, visible):
    """A: [heads, chunks, chunks], row i over the chunks that i sees.

    The meta query and the meta key of a chunk are the means over these rows. A
    row that sees nothing is 0.
    """
    meta_query = torch.stack([q.mean(1) for q in queries], 1)
    meta_key = torch.stack([k.mean(1) for k in keys], 1)
    scores = meta_query @ meta_key.mT / math.sqrt(meta_key.shape[-1])
    weights = torch.softmax(scores.masked_fill(~visible, -math.inf), -1)
    return torch.where(visible.any(-1, keepdim=True), weights, 0.0)


def retrieve(q, states, weights):
    """By states: phi(q) (A F) / (phi(q) . (A z)), `weights` [heads, chunks]."""
    retrieved = torch.einsum("hm,mhde->hde", weights,
                             torch.stack([f for f, _ in states]))
    norm = torch.einsum("hm,mhd->hd", weights,
                        torch.stack([z for _, z in states]))
    return phi(q) @ retrieved / (phi(q) @ norm[..., None])


def retrieve_by_keys(q, keys, values, weights):
    """The same, summed over single keys instead of states."""
    shares = torch.cat([weights[:, j, None, None] * (phi(q) @ phi(k).mT)
                        for j, k in enumerate(keys)], -1)
    return shares / shares.sum(-1, keepdim=True) @ torch.cat(values, 1)


@dataclass
class Run:
    """One way to encode a document; `name` prefixes its tensors."""
    name: str
    visibility: str  # independent, causal or bidirectional
    gate: float

    def visible(self, chunks):
        """[chunks, chunks]: whether i sees j. No chunk sees itself."""
        other = ~torch.eye(chunks, dtype=torch.bool)
        return {"independent": torch.zeros_like(other),
                "causal": torch.ones_like(other).tril(-1),
                "bidirectional": other}[self.visibility]


PLAIN = Run("independent", "independent", 0.0)


def encode(bert, chunks, run, attend=retrieve):
    """Last hidden states per chunk, and A averaged over layers and heads.

    What a chunk offers and asks for comes from its own tokens: the special
    ones, its first and last row, only take part inside it.
    """
    visible = run.visible(len(chunks))
    total = torch.zeros(len(chunks), len(chunks), dtype=torch.float64)
    hidden = [bert.embed(chunk) for chunk in chunks]
    for layer in range(bert.layers):
        q, k, v = ([bert.project(layer, name, rows) for rows in hidden]
                   for name in ("query", "key", "value"))
        own_q, own_k, own_v = ([rows[:, 1:-1] for rows in heads]
                               for heads in (q, k, v))
        weights = retrieval_weights(own_q, own_k, visible)
        total += weights.mean(0) / bert.layers
        if attend is retrieve:
            context = [[(phi(a).mT @ b, phi(a).sum(1))
                        for a, b in zip(own_k, own_v)]]
        else:
            context = [own_k, own_v]
        mixed = []
        for i in range(len(chunks)):
            out = local_attention(q[i], k[i], v[i])
            if visible[i].any():
                far = attend(q[i], *context, weights[:, i])
                out = (1 - run.gate) * out + run.gate * far
            mixed.append(out)
        hidden = [bert.finish(layer, rows, out)
                  for rows, out in zip(hidden, mixed)]
    return hidden, total


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def results(run, hidden, weights):
    """The tensors of one run, as float32."""
    tensors = {
        "chunk_vectors": unit(torch.stack([rows.mean(0) for rows in hidden])),
        "document_vector": unit(torch.cat(hidden).mean(0)),
        "hidden_first_rows": torch.stack([rows[:4] for rows in hidden]),
        "retrieval_weights": weights,
    }
    return {f"{run.name}.{name}": tensor.float().contiguous()
            for name, tensor in tensors.items()}


# --- Checks -----------------------------------------------------------------


def worst(name, pairs, limit):
    """Prints the largest difference in `pairs`; it must be below `limit`."""
    pairs = list(pairs)
    found = max(float((a - b).abs().max()) for a, b in pairs)
    print(f"  {name}: largest difference {found:.1e}")
    assert pairs and found < limit, f"{name}: {found} is not below {limit}"


def check_plain(bert, folder, chunks):
    """The plain forward against transformers, in its two precisions."""
    hidden, _ = encode(bert, chunks, PLAIN)
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        model = transformers.BertModel.from_pretrained(folder, dtype=dtype)
        with torch.inference_mode():
            theirs = [model.eval()(torch.tensor([chunk])).last_hidden_state[0]
                      for chunk in chunks]
        worst(f"plain forward, BertModel in {dtype}", zip(hidden, theirs),
              limit)


def check_retrieval(bert, chunks, runs):
    """Block retrieval against the sum by keys; nothing to see, no change."""
    for run in runs:
        states, _ = encode(bert, chunks, run)
        keys, _ = encode(bert, chunks, run, attend=retrieve_by_keys)
        worst(f"{run.name}, states and single keys", zip(states, keys), 1e-9)
    for run in runs:
        alone, _ = encode(bert, chunks[:1], run)
        plain, _ = encode(bert, chunks[:1], PLAIN)
        worst(f"{run.name}, one chunk and none", zip(alone, plain), 1e-15)


# --- Files ------------------------------------------------------------------


def write(out, name, settings, tensors):
    text = json.dumps(settings, ensure_ascii=False, indent=1) + "\n"
    (out / f"{name}.json").write_text(text, encoding="utf-8")
    path = out / f"{name}.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)  # safetensors writes for the owner alone
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def read_settings(out, name):
    return json.loads((out / f"{name}.json").read_text(encoding="utf-8"))


def make_sentences(args, tokenizer, bert, sentences):
    """Vectors by sentence-transformers, nothing truncated."""
    ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in sentences]
    assert max(map(len, ids)) < SENTENCE_WORDPIECES
    model = sentence_transformers.SentenceTransformer(
        str(args.model), device="cpu", local_files_only=True)
    model.max_seq_length = 512
    # One at a time: no padding takes part.
    vectors = torch.from_numpy(model.encode(sentences, batch_size=1))
    assert vectors.shape == (len(sentences), bert.hidden)
    chunks = [tokenizer.encode(s).ids for s in sentences]
    hidden, _ = encode(bert, chunks, PLAIN)
    means = unit(torch.stack([rows.mean(0) for rows in hidden]))
    worst("sentence vectors, sentence-transformers", [(means, vectors)], 1e-5)
    words = [len(s.split()) for s in sentences]
    print(f"  {len(sentences)} sentences, {min(words)} to {max(words)} words, "
          f"at most {max(map(len, ids))} wordpieces, "
          f"{sum(map(is_accented, sentences))} with accents")
    write(args.out, "minilm_sentences",
          {"source": SOURCE, "sentences": sentences}, {
              "vectors": vectors,
              "token_counts": torch.tensor(list(map(len, ids)),
                                           dtype=torch.int32)})


def make_bsbr(out, name, bert, folder, ids, settings):
    """Block retrieval over one document; `settings` says how it is cut."""
    prefix, suffix = settings["prefix_ids"], settings["suffix_ids"]
    content = settings["chunk_tokens"] - len(prefix) - len(suffix)
    chunks = [prefix + ids[i:i + content] + suffix
              for i in range(0, len(ids), content)]
    assert 4 <= len(chunks[-1]) < len(chunks[0]), "the last chunk is shorter"
    runs = [PLAIN] + [
        Run(visibility if gate == GATE else f"{visibility}_gate_{gate}",
            visibility, gate)
        for gate in settings["gates"]
        for visibility in ("causal", "bidirectional")]
    print(f"{name}: {len(ids)} tokens, {len(chunks)} chunks")
    check_plain(bert, folder, chunks)
    check_retrieval(bert, chunks, runs[1:])
    tensors = {"token_ids": torch.tensor(ids, dtype=torch.int32)}
    for run in runs:
        tensors |= results(run, *encode(bert, chunks, run))
    change = (tensors["bidirectional.chunk_vectors"]
              * tensors["independent.chunk_vectors"]).sum(-1)
    print(f"  cosine of bidirectional and independent chunk vectors: "
          f"{change.min():.4f} to {change.max():.4f}")
    write(out, name, {**settings, "runs": [vars(run) for run in runs]}, tensors)


def make_minilm_document(args, tokenizer, bert, text):
    # What the tokenizer puts around an empty text.
    specials = tokenizer.encode("").ids
    assert len(specials) == 2
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    make_bsbr(args.out, "minilm_bsbr", bert, args.model, ids, {
        "source": SOURCE, "chunk_tokens": 128, "prefix_ids": specials[:1],
        "suffix_ids": specials[1:], "gates": [GATE], "text": text})


def make_tiny_document(args):
    generator = torch.Generator().manual_seed(20240229)
    ids = torch.randint(4, 300, (100,), generator=generator).tolist()
    make_bsbr(args.out, "tiny_bsbr", Bert(args.tiny), args.tiny, ids, {
        "source": "random token ids", "chunk_tokens": 16, "prefix_ids": [2],
        "suffix_ids": [3], "gates": [GATE, 1.0]})


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path,
                        help="the folder of all-MiniLM-L6-v2")
    parser.add_argument("--tiny", type=pathlib.Path,
                        default=ROOT / "tests/testdata/parity/bert",
                        help="the folder of the small random BERT model "
                        "(default: the one in tests/testdata)")
    parser.add_argument("--out", type=pathlib.Path,
                        default=ROOT / "tests/golden",
                        help="folder to write (default: tests/golden)")
    parser.add_argument("--jargon", type=pathlib.Path,
                        help="jargon.txt or jargon.txt.gz: pick the texts anew")
    return parser.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = tokenizers.Tokenizer.from_file(
        str(args.model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if args.jargon:
        paragraphs = read_paragraphs(args.jargon)
        sentences = pick_sentences(paragraphs, tokenizer)
        document = pick_document(paragraphs, tokenizer)
    else:
        sentences = read_settings(args.out, "minilm_sentences")["sentences"]
        document = read_settings(args.out, "minilm_bsbr")["text"]
    bert = Bert(args.model)
    make_sentences(args, tokenizer, bert, sentences)
    make_minilm_document(args, tokenizer, bert, document)
    make_tiny_document(args)


if __name__ == "__main__":
    main()
