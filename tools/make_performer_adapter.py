#!/usr/bin/env python3
"""Makes an adapter that holds the random directions of the performer.

Without an adapter the mechanism "performer" draws its directions from the
options random_features and seed. With this file, given to the server as the
model's adapter, it takes those that lie in it, so that they are kept with the
model: the ones that weights were trained with, or a draw that is not to depend
on a version of Longhand.

Directions come from --projection, an array that numpy.save wrote: [features,
head size] for all layers or [layers, features, head size]. Without it they are
drawn by numpy's default generator: blocks of orthogonal rows times the norms of
independent Gaussian rows (Choromanski et al. 2020, arXiv:2009.14794), one draw
per layer. Needs numpy.

Example: tools/make_performer_adapter.py models/all-MiniLM-L6-v2 \\
             --features 256 --out performer.safetensors
"""

import argparse
import json
import math
import pathlib
import struct
import sys

import numpy

MAX_FEATURES = 4096  # Longhand's own limit, see core/attention/adapter.h
# By the families' names for them.
KEYS = {"layers": ("num_hidden_layers", "n_layers"),
        "heads": ("num_attention_heads", "n_heads"),
        "hidden": ("hidden_size", "dim")}


class AdapterError(Exception):
    """What is wrong with the input and what to do about it."""


def read_sizes(model):
    """Layers and head size of a model directory."""
    path = model / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    sizes = {}
    for what, names in KEYS.items():
        found = [config[name] for name in names if name in config]
        if not found:
            raise AdapterError(f"{path} has none of {', '.join(names)}")
        sizes[what] = found[0]
    return sizes["layers"], sizes["hidden"] // sizes["heads"]


def draw(features, size, generator):
    """[features, size]: orthogonal by blocks of `size` rows."""
    blocks = []
    for _ in range(0, features, size):
        q, r = numpy.linalg.qr(generator.standard_normal((size, size)))
        blocks.append((q * numpy.sign(numpy.diag(r))).T)
    norms = numpy.linalg.norm(generator.standard_normal((features, size)),
                              axis=1)
    return numpy.concatenate(blocks)[:features] * norms[:, None]


def read_projection(path, layers, size):
    """[layers, features, size] from a file of numpy."""
    try:
        array = numpy.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    if array.ndim == 2:
        array = numpy.broadcast_to(array, (layers, *array.shape))
    if (array.ndim != 3 or array.shape[0] != layers or array.shape[2] != size
            or not 1 <= array.shape[1] <= MAX_FEATURES):
        raise AdapterError(
            f"{path} has the shape {list(array.shape)}; give [features, "
            f"{size}] or [{layers}, features, {size}] with 1 to "
            f"{MAX_FEATURES} features")
    if not numpy.isfinite(array).all():
        raise AdapterError(f"{path} has a number that is not finite")
    return array


def write(path, projections):
    """A safetensors file of the adapter's layout."""
    header, data, offset = {}, [], 0
    for layer, projection in enumerate(projections):
        content = projection.astype("<f4").tobytes()
        header[f"layers.{layer}.performer.projection"] = {
            "dtype": "F32", "shape": list(projection.shape),
            "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
        data.append(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path,
                        help="model directory that the adapter is for")
    parser.add_argument("--out", required=True, type=pathlib.Path,
                        help="file to write")
    parser.add_argument("--projection", type=pathlib.Path,
                        help="directions of your own, a .npy file")
    parser.add_argument("--features", type=int, default=0,
                        help="directions to draw; 0: d ln d, heads of size d")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    args = parser.parse_args()
    try:
        layers, size = read_sizes(args.model)
        if args.projection:
            projections = read_projection(args.projection, layers, size)
        else:
            features = args.features or max(1, int(size * math.log(size)))
            if not 1 <= features <= MAX_FEATURES:
                raise AdapterError(f"--features is {features}; give a number "
                                   f"from 1 to {MAX_FEATURES}, or 0")
            generator = numpy.random.default_rng(args.seed)
            projections = [draw(features, size, generator)
                           for _ in range(layers)]
        write(args.out, projections)
    except (AdapterError, OSError) as error:
        print(f"make_performer_adapter.py: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {layers} layers of {projections[0].shape[0]} "
          f"directions, heads of {size}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
