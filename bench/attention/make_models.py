#!/usr/bin/env python3
"""Models of one size for every family, made from one BERT checkpoint.

Longformer and BigBird take over all weights, with the position table repeated,
as the authors of Longformer did (arXiv:2004.05150, section 5): their attention
can be compared with full attention on the same weights. The other families
have no such counterpart. They get matrices of the checkpoint where the shapes
fit and random ones elsewhere: what they cost is right, what they say is not.

Usage: make_models.py BERT_DIRECTORY OUTPUT_DIRECTORY
"""

import array
import json
import math
import pathlib
import random
import shutil
import struct
import sys

POSITIONS = 65_600  # 65,536 tokens and what goes around them
AXIAL = (205, 320)


class Checkpoint:
    """The float32 tensors of a safetensors file, as bytes."""

    def __init__(self, path):
        self._bytes = path.read_bytes()
        (size,) = struct.unpack("<Q", self._bytes[:8])
        self._header = json.loads(self._bytes[8 : 8 + size])
        self._header.pop("__metadata__", None)
        self._start = 8 + size

    def names(self):
        return self._header.keys()

    def shape(self, name):
        return self._header[name]["shape"]

    def data(self, name):
        entry = self._header[name]
        if entry["dtype"] != "F32":
            sys.exit(f"{name} is {entry['dtype']}; give a float32 checkpoint")
        begin, end = entry["data_offsets"]
        return self._bytes[self._start + begin : self._start + end]


def write(path, tensors):
    header, offset = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [offset, offset + len(data)],
        }
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, data in tensors.values():
            out.write(data)


class Maker:
    def __init__(self, source, target):
        self.source, self.target = source, target
        self.config = json.loads((source / "config.json").read_text())
        self.bert = Checkpoint(source / "model.safetensors")
        self.hidden = self.config["hidden_size"]
        self.heads = self.config["num_attention_heads"]
        self.layers = self.config["num_hidden_layers"]
        self.inner = self.config["intermediate_size"]
        self.random = random.Random(1)

    def save(self, name, config, tensors):
        directory = self.target / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config, indent=1))
        write(directory / "model.safetensors", tensors)
        shutil.copy(self.source / "tokenizer.json", directory)

    def copy(self, name):
        return self.bert.shape(name), self.bert.data(name)

    def rows(self, name, begin, end):
        """Rows of a matrix."""
        rows, columns = self.bert.shape(name)
        size = 4 * columns
        return [end - begin, columns], self.bert.data(name)[begin * size : end * size]

    def ones(self, *shape):
        return shape, array.array("f", [1.0] * math.prod(shape)).tobytes()

    def zeros(self, *shape):
        return shape, bytes(4 * math.prod(shape))

    def noise(self, scale, *shape):
        values = (self.random.gauss(0, scale) for _ in range(math.prod(shape)))
        return shape, array.array("f", values).tobytes()

    def layer(self, number, name):
        return f"encoder.layer.{number}.{name}"

    def repeated_positions(self, leading):
        """The position table repeated behind `leading` rows that nobody reads."""
        name = "embeddings.position_embeddings.weight"
        rows, columns = self.bert.shape(name)
        table = self.bert.data(name)
        wanted = 4 * columns * POSITIONS
        data = bytes(4 * columns * leading) + table * (POSITIONS // rows + 1)
        return [POSITIONS, columns], data[:wanted]

    def bert_like(self, leading_positions):
        # Without a buffer of positions, which has the old length.
        names = set(self.bert.names()) - {"embeddings.position_ids"}
        tensors = {name: self.copy(name) for name in sorted(names)}
        tensors["embeddings.position_embeddings.weight"] = self.repeated_positions(
            leading_positions
        )
        return tensors

    def longformer(self):
        tensors = self.bert_like(leading_positions=1)
        for number in range(self.layers):
            for part in ("query", "key", "value"):
                for kind in ("weight", "bias"):
                    base = self.layer(number, f"attention.self.{part}")
                    tensors[f"{base}_global.{kind}"] = self.copy(f"{base}.{kind}")
        # 128 to either side.
        config = self.config | {
            "model_type": "longformer",
            "attention_window": [256] * self.layers,
            "max_position_embeddings": POSITIONS,
        }
        self.save("longformer", config, tensors)

    def big_bird(self):
        tensors = self.bert_like(leading_positions=0)
        tensors = {
            name.replace("pooler.dense.", "pooler."): value
            for name, value in tensors.items()
        }
        config = self.config | {
            "model_type": "big_bird",
            "attention_type": "block_sparse",
            "block_size": 64,
            "num_random_blocks": 3,
            "max_position_embeddings": POSITIONS,
        }
        self.save("big_bird", config, tensors)

    def reformer(self):
        half = self.hidden // 2
        positions = "embeddings.position_embeddings.weights"
        tensors = {
            "embeddings.word_embeddings.weight": self.copy(
                "embeddings.word_embeddings.weight"
            ),
            f"{positions}.0": self.noise(0.02, AXIAL[0], 1, half),
            f"{positions}.1": self.noise(0.02, 1, AXIAL[1], half),
            "encoder.layer_norm.weight": self.ones(2 * self.hidden),
            "encoder.layer_norm.bias": self.zeros(2 * self.hidden),
        }
        kinds = ["local" if n % 2 == 0 else "lsh" for n in range(self.layers)]
        for number, kind in enumerate(kinds):
            to = f"encoder.layers.{number}"
            attention = f"{to}.attention.self_attention"
            parts = {"query": "query", "key": "key", "value": "value"}
            if kind == "lsh":
                parts = {"query_key": "query", "value": "value"}
            for part, source in parts.items():
                tensors[f"{attention}.{part}.weight"] = self.copy(
                    self.layer(number, f"attention.self.{source}.weight")
                )
            tensors[f"{to}.attention.output.dense.weight"] = self.copy(
                self.layer(number, "attention.output.dense.weight")
            )
            for norm in ("attention", "feed_forward"):
                tensors[f"{to}.{norm}.layer_norm.weight"] = self.ones(self.hidden)
                tensors[f"{to}.{norm}.layer_norm.bias"] = self.zeros(self.hidden)
            for part, source in (
                ("dense.dense", "intermediate.dense"),
                ("output.dense", "output.dense"),
            ):
                for value in ("weight", "bias"):
                    tensors[f"{to}.feed_forward.{part}.{value}"] = self.copy(
                        self.layer(number, f"{source}.{value}")
                    )
        config = {
            "model_type": "reformer",
            "vocab_size": self.config["vocab_size"],
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "attention_head_size": self.hidden // self.heads,
            "feed_forward_size": self.inner,
            "attn_layers": kinds,
            "axial_pos_embds": True,
            "axial_pos_shape": list(AXIAL),
            "axial_pos_embds_dim": [half, half],
            "max_position_embeddings": AXIAL[0] * AXIAL[1],
            "local_attn_chunk_length": 64,
            "lsh_attn_chunk_length": 64,
            "num_hashes": 2,
            "num_buckets": None,
            "hash_seed": 0,
            "hidden_act": "relu",
            "is_decoder": False,
            "pad_token_id": 0,
        }
        self.save("reformer", config, tensors)

    def gau(self):
        # Two of its layers have about the weights of one of BERT's.
        key_size, expanded = 128, 2 * self.hidden
        depth = 2 * self.layers
        tensors = {
            "token_emb.weight": self.copy("embeddings.word_embeddings.weight"),
            "norm.weight": self.ones(self.hidden),
            "norm.bias": self.zeros(self.hidden),
        }
        for number in range(depth):
            to, source = f"layers.{number}", number // 2
            tensors |= {
                f"{to}.norm.weight": self.ones(self.hidden),
                f"{to}.norm.bias": self.zeros(self.hidden),
                f"{to}.to_hidden.0.weight": self.rows(
                    self.layer(source, "intermediate.dense.weight"), 0, 2 * expanded
                ),
                f"{to}.to_hidden.0.bias": self.zeros(2 * expanded),
                f"{to}.to_qk.0.weight": self.rows(
                    self.layer(source, "attention.self.query.weight"), 0, key_size
                ),
                f"{to}.to_qk.0.bias": self.zeros(key_size),
                f"{to}.offsetscale.gamma": self.noise(0.02, 2, key_size),
                f"{to}.offsetscale.beta": self.zeros(2, key_size),
                f"{to}.rel_pos_bias.relative_attention_bias.weight": self.noise(
                    0.02, 32, 1
                ),
                f"{to}.to_out.0.weight": self.noise(0.02, self.hidden, expanded),
                f"{to}.to_out.0.bias": self.zeros(self.hidden),
            }
        config = {
            "model_type": "gau",
            "vocab_size": self.config["vocab_size"],
            "hidden_size": self.hidden,
            "num_hidden_layers": depth,
            "query_key_dim": key_size,
            "expansion_factor": 2,
            "chunk_size": 512,
        }
        self.save("gau", config, tensors)

    def delta_net(self):
        tensors = {
            "model.embeddings.weight": self.copy("embeddings.word_embeddings.weight"),
            "model.norm.weight": self.ones(self.hidden),
        }
        for number in range(self.layers):
            to = f"model.layers.{number}"
            for part, source in (("q", "query"), ("k", "key"), ("v", "value")):
                tensors[f"{to}.attn.{part}_proj.weight"] = self.copy(
                    self.layer(number, f"attention.self.{source}.weight")
                )
                tensors[f"{to}.attn.{part}_conv1d.weight"] = self.noise(
                    0.5, self.hidden, 1, 4
                )
            inner = self.copy(self.layer(number, "intermediate.dense.weight"))
            tensors |= {
                f"{to}.attn_norm.weight": self.ones(self.hidden),
                f"{to}.mlp_norm.weight": self.ones(self.hidden),
                f"{to}.attn.b_proj.weight": self.noise(0.02, self.heads, self.hidden),
                f"{to}.attn.o_norm.weight": self.ones(self.hidden // self.heads),
                f"{to}.attn.o_proj.weight": self.copy(
                    self.layer(number, "attention.output.dense.weight")
                ),
                f"{to}.mlp.gate_proj.weight": inner,
                f"{to}.mlp.up_proj.weight": inner,
                f"{to}.mlp.down_proj.weight": self.copy(
                    self.layer(number, "output.dense.weight")
                ),
            }
        config = {
            "model_type": "delta_net",
            "vocab_size": self.config["vocab_size"],
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_heads": self.heads,
            "intermediate_size": self.inner,
            "hidden_act": "swish",
            "expand_k": 1,
            "expand_v": 1,
            "conv_size": 4,
            "use_beta": True,
            "use_gate": False,
            "use_short_conv": True,
            "use_output_norm": True,
            "qk_norm": "l2",
            "qk_activation": "silu",
            "norm_eps": 1e-6,
            "attn": None,
        }
        self.save("delta_net", config, tensors)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    maker = Maker(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    for make in (
        maker.longformer,
        maker.big_bird,
        maker.reformer,
        maker.gau,
        maker.delta_net,
    ):
        make()


if __name__ == "__main__":
    main()
