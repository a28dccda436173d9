#!/usr/bin/env python3
"""Makes a model directory from the weights of the Python package `bsbr`.

Reads a state dict of bsbr.BSBRModel (0.1.1) and writes config.json and
model.safetensors, which Longhand serves as the family "bsbr". Sizes come from
the shapes; the number of heads and the chunk size are not in the weights and
must be given. Numbers are copied as they are stored.

FILE is .safetensors, which needs nothing but Python, or anything that
torch.save wrote (.pt, .pth, .bin), which needs torch. The state dict may also
be the "state_dict" or "model_state_dict" of a saved dictionary.

Example: tools/convert_bsbr.py bsbr.pt --heads 8 --chunk-size 128 \\
             --out models/bsbr --tokenizer tokenizer.json
"""

import argparse
import json
import math
import os
import pathlib
import re
import shutil
import struct
import sys
import typing

# Longhand's own limit, see core/model/model_config.h.
MAX_CHUNK_SIZE = 8192
MAX_HEADER_BYTES = 100_000_000
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
POSITIONS = "pos_encoding.pe"
POSITION_TOLERANCE = 5e-3  # room for a buffer stored in 16 bits


class ConvertError(Exception):
    """What is wrong with the input and what to do about it."""


class Tensor(typing.NamedTuple):
    dtype: str  # as safetensors names it
    shape: tuple
    data: bytes  # row-major, little-endian

    def element(self, index):
        """One number, by its place in the data."""
        size = SIZES[self.dtype]
        raw = self.data[index * size:(index + 1) * size]
        if self.dtype == "BF16":
            return struct.unpack("<f", b"\0\0" + raw)[0]
        return struct.unpack({"F64": "<d", "F32": "<f", "F16": "<e"}[
            self.dtype], raw)[0]


def read_safetensors(path):
    """All tensors of a safetensors file, by name."""
    content = path.read_bytes()
    if len(content) < 8:
        raise ConvertError(f"{path} is too short for a safetensors file")
    length = struct.unpack("<Q", content[:8])[0]
    if length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ConvertError(f"{path}: the header is longer than the file; "
                           "take the file from its source again")
    try:
        header = json.loads(content[8:8 + length].decode("utf-8"))
        entries = {
            name: (entry["dtype"], tuple(entry["shape"]),
                   *entry["data_offsets"])
            for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConvertError(
            f"{path}: the header is not that of a safetensors file: {error}"
        ) from error
    data = content[8 + length:]
    tensors = {}
    for name, (dtype, shape, *place) in entries.items():
        if dtype not in SIZES:
            raise ConvertError(f"{path}: {name} is stored as {dtype}; "
                               f"store it as one of {', '.join(SIZES)}")
        if (len(place) != 2 or not all(isinstance(n, int) and n >= 0
                                       for n in (*shape, *place))
                or place[1] > len(data)
                or place[1] - place[0] != math.prod(shape) * SIZES[dtype]):
            raise ConvertError(f"{path}: the data of {name} do not fit its "
                               f"shape {list(shape)}; the file is broken")
        tensors[name] = Tensor(dtype, shape, data[place[0]:place[1]])
    return tensors


def read_torch(path):
    """All tensors of a state dict that torch.save wrote, by name."""
    try:
        import torch  # only these files need it
    except ImportError as error:
        raise ConvertError(
            f"{path} can only be read with torch; install torch, or save the "
            "state dict as safetensors") from error
    names = {torch.float64: "F64", torch.float32: "F32",
             torch.float16: "F16", torch.bfloat16: "BF16"}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling fails in many ways
        raise ConvertError(f"{path} does not load as a state dict: {error}"
                           ) from error
    for key in ("state_dict", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise ConvertError(f"{path} holds no state dict; save one with "
                           "torch.save(model.state_dict(), FILE)")
    tensors = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or value.dtype not in names:
            kind = getattr(value, "dtype", type(value).__name__)
            raise ConvertError(f"{path}: {name} is {kind}; a state dict of "
                               "floating-point tensors is expected")
        raw = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        tensors[str(name)] = Tensor(names[value.dtype], tuple(value.shape),
                                    raw)
    return tensors


def dimension(tensors, name, axis):
    """A size that only this tensor knows."""
    tensor = tensors.get(name)
    if tensor is None:
        raise ConvertError(f"{name} is missing; a state dict of "
                           "bsbr.BSBRModel is expected")
    if len(tensor.shape) != 2 or 0 in tensor.shape:
        raise ConvertError(f"{name} has the shape {list(tensor.shape)}; a "
                           "matrix is expected")
    return tensor.shape[axis]


def read_config(tensors, heads, chunk_size):
    """config.json, from the shapes and from what they do not tell."""
    hidden = dimension(tensors, "embedding.weight", 1)
    layers = {int(match[1]) for name in tensors
              if (match := re.match(r"layers\.(\d+)\.", name))}
    if not layers or layers != set(range(len(layers))):
        raise ConvertError("the layers are not numbered 0, 1, 2, ...: "
                           f"{sorted(layers)}")
    if hidden % heads or hidden % 2:
        raise ConvertError(f"the hidden size {hidden} is not an even number "
                           f"and a multiple of {heads} heads; give the number "
                           "of heads that the model was made with")
    compression = None
    name = "layers.0.attention.compress_proj.weight"
    if name in tensors:
        state = dimension(tensors, name, 1)
        if state != (hidden // heads) ** 2:
            raise ConvertError(
                f"{name} takes {state} numbers, but a head of {heads} has "
                f"{(hidden // heads) ** 2}; the model was made with "
                f"{hidden / math.sqrt(state):g} heads")
        compressed = dimension(tensors, name, 0)
        # The package rounds hidden / factor down; any such factor will do.
        compression = hidden // compressed
        if compression == 0 or hidden // compression != compressed:
            raise ConvertError(f"{name} gives {compressed} numbers, which no "
                               f"compression factor makes of {hidden}")
    return {
        "model_type": "bsbr",
        "vocab_size": dimension(tensors, "embedding.weight", 0),
        "hidden_size": hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "chunk_size": chunk_size,
        "intermediate_size": dimension(tensors, "layers.0.ff.0.weight", 0),
        "compression_factor": compression,
    }


def expected_shapes(config):
    """What BSBRModel has, by name, the buffer of positions excepted."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {"embedding.weight": (config["vocab_size"], hidden)}

    def linear(name, inputs, outputs):
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (hidden,)

    norm("layer_norm")
    for number in range(config["num_hidden_layers"]):
        layer = f"layers.{number}"
        for part in ("q", "k", "v", "out", "meta_r", "meta_h"):
            linear(f"{layer}.attention.{part}_proj", hidden, hidden)
        if config["compression_factor"] is not None:
            state = (hidden // config["num_attention_heads"]) ** 2
            compressed = hidden // config["compression_factor"]
            linear(f"{layer}.attention.compress_proj", state, compressed)
            linear(f"{layer}.attention.decompress_proj", compressed, state)
        norm(f"{layer}.layer_norm1")
        norm(f"{layer}.layer_norm2")
        linear(f"{layer}.ff.0", hidden, inner)
        linear(f"{layer}.ff.3", inner, hidden)
    return shapes


def check_tensors(tensors, config):
    """Refuses missing, unknown and misshapen tensors."""
    expected = expected_shapes(config)
    problems = [f"{name} is missing" for name in expected
                if name not in tensors]
    problems += [f"{name} is not part of the model" for name in tensors
                 if name not in expected and name != POSITIONS]
    problems += [
        f"{name} has the shape {list(tensors[name].shape)}, expected is "
        f"{list(shape)}" for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape]
    if problems:
        more = len(problems) - 10
        raise ConvertError("the tensors are not those of bsbr.BSBRModel:\n  "
                           + "\n  ".join(problems[:10])
                           + (f"\n  and {more} more" if more > 0 else ""))


def check_positions(tensors, hidden):
    """Refuses positions other than those that Longhand computes."""
    buffer = tensors.get(POSITIONS)
    if buffer is None:
        return
    if len(buffer.shape) != 3 or buffer.shape[::2] != (1, hidden):
        raise ConvertError(f"{POSITIONS} has the shape {list(buffer.shape)}, "
                           f"expected is [1, any, {hidden}]")
    rows = buffer.shape[1]
    # The server looks at all of them; here a few show what was meant.
    for position in sorted({p for p in (0, 1, 2, 77, rows // 2, rows - 1)
                            if 0 <= p < rows}):
        for i in range(hidden):
            angle = position * 10000.0 ** (-(i // 2 * 2) / hidden)
            want = math.cos(angle) if i % 2 else math.sin(angle)
            found = buffer.element(position * hidden + i)
            if not abs(found - want) <= POSITION_TOLERANCE:
                raise ConvertError(
                    f"{POSITIONS} gives {found:g} for position {position}, "
                    f"dimension {i}; the package's sinusoids have {want:g} "
                    "there, and only those can be served")


def write_atomically(path, parts):
    """A file that is there completely or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "xb") as out:
            for part in parts:
                out.write(part)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def safetensors_parts(tensors):
    """Header and data of a safetensors file, in order of the names."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in sorted(tensors.items()):
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                        "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data are aligned
    return [struct.pack("<Q", len(text)), text,
            *(tensor.data for _, tensor in sorted(tensors.items()))]


def convert(args):
    """Does what the arguments say; returns config.json."""
    if not args.file.is_file():
        raise ConvertError(f"{args.file} does not exist")
    if args.tokenizer is not None and not args.tokenizer.is_file():
        raise ConvertError(f"{args.tokenizer} does not exist")
    outputs = [args.out / name for name in
               ("config.json", "model.safetensors", "tokenizer.json")]
    for path in outputs:
        if path.exists():
            raise ConvertError(f"{path} exists; give another --out, or "
                               "remove it first")
    read = (read_safetensors if args.file.suffix == ".safetensors"
            else read_torch)
    tensors = read(args.file)
    config = read_config(tensors, args.heads, args.chunk_size)
    check_tensors(tensors, config)
    check_positions(tensors, config["hidden_size"])
    tensors.pop(POSITIONS, None)  # computed by the server
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tokenizer is not None:
        shutil.copyfile(args.tokenizer, outputs[2])
    write_atomically(outputs[1], safetensors_parts(tensors))
    text = json.dumps(config, indent=2) + "\n"
    write_atomically(outputs[0], [text.encode()])
    return config


def parse_args(arguments):
    def count(text):
        number = int(text)
        if number < 1:
            raise argparse.ArgumentTypeError(f"{number} is below 1")
        return number

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", type=pathlib.Path,
                        help="the state dict")
    parser.add_argument("--out", required=True, type=pathlib.Path,
                        help="model directory to write; made if missing")
    parser.add_argument("--heads", required=True, type=count,
                        help="num_heads of the BSBRModel")
    parser.add_argument("--chunk-size", required=True, type=count,
                        help="chunk_size of the BSBRModel")
    parser.add_argument("--tokenizer", type=pathlib.Path,
                        help="tokenizer.json to copy beside the weights; "
                        "without one the model takes token ids only")
    args = parser.parse_args(arguments)
    if args.chunk_size > MAX_CHUNK_SIZE:
        parser.error(f"--chunk-size: at most {MAX_CHUNK_SIZE} can be served")
    return args


def main(arguments=None):
    args = parse_args(arguments)
    try:
        config = convert(args)
    except (ConvertError, OSError) as error:
        print(f"convert_bsbr.py: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {config['num_hidden_layers']} layers, "
          f"{config['num_attention_heads']} heads, hidden size "
          f"{config['hidden_size']}, chunks of {config['chunk_size']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
