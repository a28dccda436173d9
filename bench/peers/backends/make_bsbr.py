#!/usr/bin/env python3
"""Writes a random checkpoint of the package `bsbr`: bsbr.pt, its state dict,
and sizes.json, the arguments of bsbr.BSBRModel.

Usage: make_bsbr.py OUT vocab_size=30522 hidden_dim=384 ...
"""

import json
import pathlib
import sys

import bsbr
import torch


def main():
    out = pathlib.Path(sys.argv[1])
    sizes = {name: int(value) for name, _, value in
             (word.partition("=") for word in sys.argv[2:])}
    torch.manual_seed(1)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(bsbr.BSBRModel(**sizes).state_dict(), out / "bsbr.pt")
    (out / "sizes.json").write_text(json.dumps(sizes))


if __name__ == "__main__":
    main()
