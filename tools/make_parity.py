#!/usr/bin/env python3
"""Makes a small random model and the hidden states it must give.

Writes a model folder as transformers' save_pretrained does (config.json,
model.safetensors) and cases.safetensors beside it, in the layout of
tests/testdata/parity: for every length in --lengths one case N with

  caseN.input_ids          [rows, length] int32
  caseN.attention_mask     [rows, length] int32, 1 = token, 0 = masked
  caseN.last_hidden_state  [rows, length, hidden] float32

and for longformer

  caseN.global_attention_mask  [rows, length] int32, 1 = global

The rows of a case are, in this order (a length of 1 has the first two only):

  full   nothing masked
  pads   nothing masked, some ids are the padding id (RoBERTa counts positions
         over the ids, so they shift; the mask plays no part in it)
  right  padding ids at the end, masked
  left   padding ids at the start, masked
  holes  random places masked, their ids kept

Global tokens of longformer lie at random places, the first one and padding
among them; the row "pads" has none. big_bird falls back to full attention for
cases of at most (5 + 2 random blocks) * block size tokens.

Family bsbr is made by the Python package `bsbr` instead (config.json is ours,
tensor names are the package's): its mask is never used, so a case has two rows
without masks. Family delta_net is computed by parity_delta_net.py and has two
rows without masks as well. Family gau is a stack of the package FLASH-pytorch's
GAU modules between token vectors and a normalisation (config.json is ours).
Family reformer hashes with random numbers, which come along as

  lsh_rotations  [heads, head size, hashes, rotations] float32

unless its num_buckets is left open; its hidden states are computed in float32,
as the public implementation runs.

Hidden states are computed in float64 and stored as float32. The script prints how far the same model is from them in float32, which is the
noise that a float32 implementation may show too. The same arguments give the
same files.

Set up: pip install -r tools/requirements-golden.txt
        for bsbr also: pip install --no-deps --ignore-requires-python bsbr==0.1.1
        for gau also: pip install FLASH-pytorch==0.1.9
Example: tools/make_parity.py --family bert --out build/parity/bert --hidden 96
"""

import argparse
import copy
import json
import os
import pathlib
import unittest.mock

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import load_file, save_file

HEADS = {
    "bert": {"none": "BertModel", "mlm": "BertForMaskedLM",
             "pretraining": "BertForPreTraining"},
    "roberta": {"none": "RobertaModel", "mlm": "RobertaForMaskedLM"},
    "distilbert": {"none": "DistilBertModel", "mlm": "DistilBertForMaskedLM"},
    "longformer": {"none": "LongformerModel", "mlm": "LongformerForMaskedLM"},
    "big_bird": {"none": "BigBirdModel", "mlm": "BigBirdForMaskedLM",
                 "pretraining": "BigBirdForPreTraining"},
    "bsbr": {"none": "BSBRModel"},
    "delta_net": {"none": "DeltaNetForCausalLM"},
    "gau": {"none": "GAU"},
    "reformer": {"none": "ReformerModel", "mlm": "ReformerForMaskedLM"},
}


def make_config(args):
    """The family's transformers config with the sizes of `args`."""
    if args.family == "distilbert":
        return transformers.DistilBertConfig(
            vocab_size=args.vocab, dim=args.hidden, n_heads=args.heads,
            n_layers=args.layers, hidden_dim=args.intermediate,
            max_position_embeddings=args.max_positions, activation=args.act)
    make = {"bert": transformers.BertConfig,
            "roberta": transformers.RobertaConfig,
            "longformer": transformers.LongformerConfig,
            "big_bird": transformers.BigBirdConfig}[args.family]
    own = {
        "longformer": lambda: {"attention_window": (
            args.window if len(args.window) > 1 else args.window[0])},
        "big_bird": lambda: {
            "attention_type": args.attention_type,
            "block_size": args.block_size,
            "num_random_blocks": args.random_blocks,
            "use_bias": not args.no_bias,
            "rescale_embeddings": args.rescale_embeddings},
    }.get(args.family, dict)()
    return make(
        vocab_size=args.vocab, hidden_size=args.hidden,
        num_attention_heads=args.heads, num_hidden_layers=args.layers,
        intermediate_size=args.intermediate,
        max_position_embeddings=args.max_positions, hidden_act=args.act,
        type_vocab_size=args.type_vocab, layer_norm_eps=args.layer_norm_eps,
        **own)


def widen(model, attention_gain, generator):
    """Redraws every parameter, rows of padding ids included.

    Linear weights keep the scale of their input; queries and keys get
    `attention_gain` times that, so that attention has clear favourites.
    """
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "layernorm" in name.lower().replace("_", ""):
            value = noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        elif parameter.dim() == 1:
            value = noise * 0.1
        elif "embedding" in name:
            value = noise * 0.5
        else:
            parts = set(name.split("."))
            sharp = parts & {"query", "key", "q_lin", "k_lin", "q_proj",
                             "k_proj", "meta_r_proj", "meta_h_proj",
                             "query_global", "key_global"}
            gain = attention_gain if sharp else 1.0
            value = noise * gain / parameter.shape[1] ** 0.5
        parameter.data.copy_(value)


def make_rows(length, vocab, pad, generator):
    """Ids and mask [rows, length] of one case; see the file's docstring."""
    def random(*shape):
        return torch.rand(*shape, generator=generator)

    rows = 5 if length > 1 else 2
    # Ids 0 to 3 are left to special tokens, the padding id among them.
    ids = torch.randint(4, vocab, (rows, length), generator=generator)
    mask = torch.ones(rows, length, dtype=torch.long)
    pads = random(length) < 0.2
    pads[length // 2] = True
    ids[1, pads] = pad
    if length > 1:
        padding = max(1, length // 5)
        ids[2, -padding:], mask[2, -padding:] = pad, 0
        ids[3, :padding], mask[3, :padding] = pad, 0
        holes = random(length) < 0.3
        holes[length // 2], holes[0] = True, False
        mask[4, holes] = 0
    return ids, mask


def make_globals(shape, generator):
    """The global_attention_mask of one case; see the file's docstring."""
    globals_ = torch.rand(shape, generator=generator) < 0.06
    globals_[:, 0] = True
    globals_[1] = False
    return globals_.long()


def run(encoder, inputs):
    """The encoder's output for one case, whatever came before it.

    big_bird keeps its fallback to full attention for all later inputs, so every
    case gets an encoder of its own.
    """
    with torch.inference_mode():
        return copy.deepcopy(encoder)(**inputs, output_attentions=True)


def make_cases(encoder, lengths, generator):
    """All cases as a dictionary of tensors, and prints float32's noise."""
    config, cases, double = encoder.config, {}, encoder.double()
    all_inputs = []
    for number, length in enumerate(lengths):
        ids, mask = make_rows(length, config.vocab_size, config.pad_token_id,
                              generator)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if config.model_type == "longformer":
            inputs["global_attention_mask"] = make_globals(ids.shape, generator)
        all_inputs.append(inputs)
        exact = run(double, inputs)
        for name, tensor in inputs.items():
            cases[f"case{number}.{name}"] = tensor.int()
        cases[f"case{number}.last_hidden_state"] = (
            exact.last_hidden_state.float())
        # big_bird's fallback records none.
        tops = [layer[0].amax(-1).mean() for layer in exact.attentions]
        top = f"{torch.stack(tops).mean():.3f}" if tops else "unknown"
        print(f"case{number}: {tuple(ids.shape)}, mean largest attention "
              f"weight {top} (uniform: {1 / length:.3f})")
    single = encoder.float()
    worst = 0.0
    for number, inputs in enumerate(all_inputs):
        rough = run(single, inputs).last_hidden_state
        want = cases[f"case{number}.last_hidden_state"]
        worst = max(worst, float((rough - want).abs().max()))
    print(f"float32 differs from float64 by at most {worst:.2e}")
    return cases


def make_bsbr(args, generator):
    """Writes model and cases of the family bsbr."""
    import bsbr  # only this family needs the package

    model = bsbr.BSBRModel(
        args.vocab, args.hidden, args.layers, args.heads, args.chunk_size,
        args.intermediate, compression_factor=args.compression).eval()
    widen(model, args.attention_gain, generator)
    for parameter in model.parameters():  # not the buffer of the positions
        parameter.data = parameter.data.to(getattr(torch, args.dtype))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps({
        "model_type": "bsbr",
        "vocab_size": args.vocab,
        "hidden_size": args.hidden,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.heads,
        "chunk_size": args.chunk_size,
        "intermediate_size": args.intermediate,
        "compression_factor": args.compression,
    }, indent=2) + "\n", encoding="utf-8")
    save_file(model.state_dict(), args.out / "model.safetensors",
              metadata={"format": "pt"})
    cases, worst = {}, 0.0
    for number, length in enumerate(args.lengths):
        ids = torch.randint(0, args.vocab, (2, length), generator=generator)
        with torch.inference_mode():
            exact = model.double()(ids).float()
            rough = model.float()(ids)
        cases[f"case{number}.input_ids"] = ids.int()
        cases[f"case{number}.last_hidden_state"] = exact
        worst = max(worst, float((rough - exact).abs().max()))
        print(f"case{number}: {tuple(ids.shape)}")
    print(f"float32 differs from float64 by at most {worst:.2e}")
    return cases


def make_delta_net(args, generator):
    """Writes model and cases of the family delta_net."""
    import parity_delta_net

    weights, cases = parity_delta_net.make(args, generator)
    save_file(weights, args.out / "model.safetensors",
              metadata={"format": "pt"})
    return cases


class GauStack(torch.nn.Module):
    """Token vectors, layers of the package's class GAU, a normalisation."""

    def __init__(self, config):
        super().__init__()
        import flash_pytorch  # only this family needs the package

        hidden = config["hidden_size"]
        self.token_emb = torch.nn.Embedding(config["vocab_size"], hidden)
        self.layers = torch.nn.ModuleList(
            flash_pytorch.GAU(dim=hidden,
                              query_key_dim=config["query_key_dim"],
                              expansion_factor=config["expansion_factor"])
            for _ in range(config["num_hidden_layers"]))
        self.norm = torch.nn.LayerNorm(hidden)

    def forward(self, ids, mask):
        x = self.token_emb(ids)
        for layer in self.layers:
            x = layer(x, mask=mask.bool())
        return self.norm(x)


def widen_gau(model, generator):
    """Redraws every parameter so that attention matters: its weights are
    divided by the number of tokens twice."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            value = noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("gamma"):
            value = noise * 3
        elif parameter.dim() == 1 or name.endswith("beta"):
            value = noise * 0.1
        elif "emb" in name or "relative" in name:
            value = noise * 0.5
        else:
            value = noise / parameter.shape[1] ** 0.5
        parameter.data.copy_(value)


def make_gau(args, generator):
    """Writes model and cases of the family gau; config.json is ours."""
    config = {
        "model_type": "gau",
        "vocab_size": args.vocab,
        "hidden_size": args.hidden,
        "num_hidden_layers": args.layers,
        "query_key_dim": 16,
        "expansion_factor": 2.0,
        "chunk_size": args.max_positions,
        **args.config}
    model = GauStack(config).eval()
    widen_gau(model, generator)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n",
                                          encoding="utf-8")
    save_file(model.state_dict(), args.out / "model.safetensors",
              metadata={"format": "pt"})
    cases, worst = {}, 0.0
    for number, length in enumerate(args.lengths):
        ids, mask = make_rows(length, args.vocab, 0, generator)
        with torch.inference_mode():
            exact = model.double()(ids, mask).float()
            rough = model.float()(ids, mask)
        cases[f"case{number}.input_ids"] = ids.int()
        cases[f"case{number}.attention_mask"] = mask.int()
        cases[f"case{number}.last_hidden_state"] = exact
        worst = max(worst, float((rough - exact).abs().max()))
        print(f"case{number}: {tuple(ids.shape)}")
    print(f"float32 differs from float64 by at most {worst:.2e}")
    return cases


def reformer_rotations(config):
    """What the seed gives, in float32 as the model runs, or None."""
    if config.num_buckets is None:
        return None
    factors = config.num_buckets
    total = sum(factors) if isinstance(factors, list) else factors
    torch.manual_seed(config.hash_seed)
    return torch.randn(config.num_attention_heads, config.attention_head_size,
                       config.num_hashes, total // 2)


def run_reformer(encoder, dtype, ids, mask):
    """The last hidden states, and the buckets of every layer, of an object that
    has seen no input before: the first one decides what num_buckets left open
    is."""
    randn = torch.randn
    fresh = copy.deepcopy(encoder).to(dtype)
    # In float64 the seed would give other numbers.
    with unittest.mock.patch(
            "torch.randn",
            lambda *shape, dtype, **rest: randn(*shape, **rest).to(dtype)):
        with torch.inference_mode():
            result = fresh(input_ids=ids, attention_mask=mask, use_cache=True)
    return (result.last_hidden_state.float().contiguous(),
            result.past_buckets_states.buckets_cache)


def make_reformer(args, generator):
    """Writes model and cases of the family reformer.

    The hidden states are those of float32: its steps near -1e5, the score of a
    token with itself, show in those of tokens that see nobody else.
    """
    config = transformers.ReformerConfig(**{
        "vocab_size": args.vocab, "hidden_size": args.hidden,
        "num_attention_heads": args.heads,
        "feed_forward_size": args.intermediate,
        "max_position_embeddings": args.max_positions, **args.config})
    model = getattr(transformers, HEADS[args.family][args.head])(config).eval()
    widen(model, args.attention_gain, generator)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(args.out)
    cases, worst = {}, 0.0
    rotations = reformer_rotations(config)
    if rotations is not None:
        cases["lsh_rotations"] = rotations
    for number, length in enumerate(args.lengths):
        ids, mask = make_rows(length, args.vocab, config.pad_token_id,
                              generator)
        states, buckets = run_reformer(model.base_model, torch.float32, ids,
                                       mask)
        exact, exact_buckets = run_reformer(model.base_model, torch.float64,
                                            ids, mask)
        if not all(map(torch.equal, buckets, exact_buckets)):
            raise SystemExit(f"case{number}: a vector lies between two "
                             "buckets; take another --seed")
        cases[f"case{number}.input_ids"] = ids.int()
        cases[f"case{number}.attention_mask"] = mask.int()
        cases[f"case{number}.last_hidden_state"] = states
        worst = max(worst, float((states - exact)[mask == 1].abs().max()))
        print(f"case{number}: {tuple(ids.shape)}")
    print(f"float32 differs from float64 by at most {worst:.2e}")
    return cases


def make_transformers(args, generator):
    """Writes model and cases of a family of transformers."""
    config = make_config(args)
    config._attn_implementation = "eager"
    model = getattr(transformers, HEADS[args.family][args.head])(config).eval()
    widen(model, args.attention_gain, generator)
    # The stored weights are the model: round before computing with them.
    model.to(getattr(torch, args.dtype))
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(args.out)
    if args.position_ids:
        prefix = "" if args.head == "none" else model.base_model_prefix + "."
        add_position_ids(args.out / "model.safetensors",
                         prefix + "embeddings.position_ids",
                         args.max_positions)
    return make_cases(model.base_model, args.lengths, generator)


def add_position_ids(path, name, max_positions):
    """Adds the int64 buffer that older checkpoints carry."""
    tensors = load_file(path)
    tensors[name] = torch.arange(max_positions)[None]
    save_file(tensors, path, metadata={"format": "pt"})


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", required=True, choices=sorted(HEADS))
    parser.add_argument("--out", required=True, type=pathlib.Path,
                        help="folder to write; made if missing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--intermediate", type=int, default=128)
    parser.add_argument("--vocab", type=int, default=300)
    parser.add_argument("--max-positions", type=int, default=256,
                        help="rows of the position table; RoBERTa uses two "
                        "more than tokens")
    parser.add_argument("--type-vocab", type=int, default=2,
                        help="token types (not for distilbert)")
    parser.add_argument("--layer-norm-eps", type=float, default=1e-12,
                        help="not for distilbert, which has 1e-12")
    parser.add_argument("--act", default="gelu",
                        help="activation: gelu, gelu_new, relu, ...")
    parser.add_argument("--head", default="none",
                        choices=["none", "mlm", "pretraining"],
                        help="save with this head: tensor names get the "
                        "family's prefix and head tensors come along")
    parser.add_argument("--position-ids", action="store_true",
                        help="store embeddings.position_ids (int64) too")
    parser.add_argument("--dtype", default="float32",
                        choices=["float32", "float16", "bfloat16"],
                        help="of the stored weights")
    parser.add_argument("--attention-gain", type=float, default=1.5)
    parser.add_argument("--chunk-size", type=int, default=16,
                        help="for bsbr only")
    parser.add_argument("--compression", type=int, default=None,
                        help="compression factor, for bsbr only")
    parser.add_argument("--window", default=[16],
                        type=lambda text: [int(n) for n in text.split(",")],
                        help="longformer's window, both sides together; one "
                        "number, or one for each layer")
    parser.add_argument("--attention-type", default="block_sparse",
                        choices=["block_sparse", "original_full"],
                        help="for big_bird only")
    parser.add_argument("--block-size", type=int, default=8,
                        help="for big_bird only")
    parser.add_argument("--random-blocks", type=int, default=2,
                        help="for big_bird only")
    parser.add_argument("--no-bias", action="store_true",
                        help="big_bird without biases of query, key and value")
    parser.add_argument("--rescale-embeddings", action="store_true",
                        help="for big_bird only")
    parser.add_argument("--config", type=json.loads, default={},
                        help="for gau and reformer: a JSON object with further "
                        "keys of config.json")
    parser.add_argument("--lengths", default="1,2,33,130",
                        type=lambda text: [int(n) for n in text.split(",")],
                        help="tokens of each case")
    args = parser.parse_args()
    if args.head not in HEADS[args.family]:
        parser.error(f"{args.family} has no head {args.head}")
    return args


def main():
    args = parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(args.seed)
    make = {"bsbr": make_bsbr, "delta_net": make_delta_net,
            "gau": make_gau, "reformer": make_reformer}.get(
        args.family, make_transformers)
    save_file(make(args, generator), args.out / "cases.safetensors")
    for path in args.out.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone


if __name__ == "__main__":
    main()
