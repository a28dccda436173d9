"""The family delta_net of make_parity.py: a DeltaNet language model's layers.

DeltaNet (Yang et al. 2024, arXiv:2406.06484) in the form, and with the tensor
names and config keys, of the package flash-linear-attention (fla/models/
delta_net), written from its published definition: the package's own model runs
on GPUs alone. The recurrence is the token by token one of its
fla/ops/delta_rule/naive.py.
"""

import json

import torch
from torch.nn import functional as F


def make_config(args):
    return {
        "model_type": "delta_net",
        "architectures": ["DeltaNetForCausalLM"],
        "vocab_size": args.vocab,
        "hidden_size": args.hidden,
        "num_hidden_layers": args.layers,
        "num_heads": args.heads,
        "intermediate_size": args.intermediate,
        "hidden_act": "swish",
        "norm_eps": 1e-5,
        "conv_size": 4,
        "expand_k": 1,
        "expand_v": 1,
        "qk_activation": "silu",
        "qk_norm": "l2",
        "use_beta": True,
        "use_gate": False,
        "use_output_norm": True,
        "use_short_conv": True,
        "attn": None,
    }


def make_weights(config, gain, generator):
    """All tensors of a DeltaNetForCausalLM, by name."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def matrix(rows, columns, scale=1.0):
        noise = torch.randn(rows, columns, generator=generator)
        return noise * scale / columns ** 0.5

    def scales(size):
        return 1 + 0.1 * torch.randn(size, generator=generator)

    weights = {"model.embeddings.weight": matrix(config["vocab_size"], hidden,
                                                 0.5 * hidden ** 0.5)}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        weights[name + "attn_norm.weight"] = scales(hidden)
        for part in "qkv":
            weights[f"{name}attn.{part}_proj.weight"] = matrix(
                hidden, hidden, gain)
            weights[f"{name}attn.{part}_conv1d.weight"] = matrix(
                hidden, config["conv_size"]).unsqueeze(1)
        weights[name + "attn.b_proj.weight"] = matrix(
            config["num_heads"], hidden, gain)
        weights[name + "attn.o_norm.weight"] = scales(
            hidden // config["num_heads"])
        weights[name + "attn.o_proj.weight"] = matrix(hidden, hidden)
        weights[name + "mlp_norm.weight"] = scales(hidden)
        weights[name + "mlp.gate_proj.weight"] = matrix(inner, hidden)
        weights[name + "mlp.up_proj.weight"] = matrix(inner, hidden)
        weights[name + "mlp.down_proj.weight"] = matrix(hidden, inner)
    weights["model.norm.weight"] = scales(hidden)
    weights["lm_head.weight"] = matrix(config["vocab_size"], hidden)
    return weights


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def short_convolution(x, weight):
    """Depthwise and causal over x [rows, tokens, channels], then silu."""
    width = weight.shape[-1]
    y = F.conv1d(x.transpose(1, 2), weight, padding=width - 1,
                 groups=weight.shape[0])
    return F.silu(y[..., :x.shape[1]].transpose(1, 2))


def l2_norm(x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def delta_rule(q, k, v, beta):
    """The recurrence over [rows, heads, tokens, d]; beta without the d."""
    q = q * q.shape[-1] ** -0.5
    memory = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    outputs = []
    for t in range(q.shape[2]):
        stored = torch.einsum("bhkv,bhk->bhv", memory, k[:, :, t])
        error = beta[:, :, t, None] * (v[:, :, t] - stored)
        memory = memory + k[:, :, t, :, None] * error[:, :, None]
        outputs.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, :, t]))
    return torch.stack(outputs, 2)


def attention(x, weights, name, config):
    heads = config["num_heads"]

    def project(part):
        y = short_convolution(x @ weights[f"{name}{part}_proj.weight"].T,
                              weights[f"{name}{part}_conv1d.weight"])
        return y.unflatten(-1, (heads, -1)).transpose(1, 2)

    beta = (x @ weights[name + "b_proj.weight"].T).sigmoid().transpose(1, 2)
    o = delta_rule(l2_norm(project("q")), l2_norm(project("k")), project("v"),
                   beta)
    o = rms_norm(o, weights[name + "o_norm.weight"], config["norm_eps"])
    return o.transpose(1, 2).flatten(2) @ weights[name + "o_proj.weight"].T


def forward(ids, weights, config):
    """The last hidden states [rows, tokens, hidden] of ids [rows, tokens]."""
    eps = config["norm_eps"]
    x = weights["model.embeddings.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        x = x + attention(rms_norm(x, weights[name + "attn_norm.weight"], eps),
                          weights, name + "attn.", config)
        y = rms_norm(x, weights[name + "mlp_norm.weight"], eps)
        gate = F.silu(y @ weights[name + "mlp.gate_proj.weight"].T)
        up = y @ weights[name + "mlp.up_proj.weight"].T
        x = x + (gate * up) @ weights[name + "mlp.down_proj.weight"].T
    return rms_norm(x, weights["model.norm.weight"], eps)


def make(args, generator):
    """Writes config.json; gives the weights and the cases, by name."""
    config = make_config(args)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n",
                                          encoding="utf-8")
    # The stored weights are the model: round before computing with them.
    weights = {name: tensor.to(getattr(torch, args.dtype)).contiguous()
               for name, tensor in make_weights(config, args.attention_gain,
                                                generator).items()}
    single = {name: tensor.float() for name, tensor in weights.items()}
    double = {name: tensor.double() for name, tensor in weights.items()}
    cases, worst = {}, 0.0
    for number, length in enumerate(args.lengths):
        ids = torch.randint(0, args.vocab, (2, length), generator=generator)
        exact = forward(ids, double, config).float()
        rough = forward(ids, single, config)
        cases[f"case{number}.input_ids"] = ids.int()
        cases[f"case{number}.last_hidden_state"] = exact
        worst = max(worst, float((rough - exact).abs().max()))
        print(f"case{number}: {tuple(ids.shape)}")
    print(f"float32 differs from float64 by at most {worst:.2e}")
    return weights, cases
