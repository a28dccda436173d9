#!/usr/bin/env python3
"""Writes the graphs of a BERT model that ONNX Runtime and OpenVINO load: mean
pooling included, without a mask and (-masked) with one.

  plain.onnx      as PyTorch exports fused attention, for ONNX Runtime to fuse
  fused.onnx      with ONNX Runtime's own operators, fused by onnxscript
  *-int8.onnx     both with int8 weights (quantize_dynamic, per channel)
  openvino.xml    converted from PyTorch, fp32

Usage: export.py MODEL OUT
"""

import pathlib
import sys
import tempfile
import warnings

import onnx
import onnx_ir
import openvino
import torch
from onnxruntime import quantization
from onnxscript.rewriter import ort_fusions

import torch_backend

OPSET = 17


class PooledModel(torch.nn.Module):
    def __init__(self, directory):
        super().__init__()
        self.model = torch_backend.load_model(directory, "fp32")

    def forward(self, ids, mask=None):
        added = None
        if mask is not None:
            # [batch, 1, 1, rows], as transformers makes it of a mask.
            added = (1 - mask.float())[:, None, None] * torch.finfo().min
        hidden = self.model(input_ids=ids, attention_mask=added)
        return torch_backend.pool(hidden.last_hidden_state, mask)


def example(masked):
    ids = torch.randint(0, 1000, (3, 17))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    return (ids, mask) if masked else (ids,)


def export_plain(model, masked, path):
    names = ["ids", "mask"][:1 + masked]
    torch.onnx.export(
        model, example(masked), path, input_names=names,
        output_names=["vectors"], opset_version=OPSET, dynamo=False,
        dynamic_axes={name: {0: "batch", 1: "rows"} for name in names})


def export_fused(model, masked, path):
    names = ["ids", "mask"][:1 + masked]
    most_rows = model.model.config.max_position_embeddings
    shape = {0: torch.export.Dim("batch", min=1, max=4096),
             1: torch.export.Dim("rows", min=1, max=most_rows)}
    program = torch.onnx.export(
        model, example(masked), input_names=names, output_names=["vectors"],
        dynamic_shapes={name: shape for name in names}, dynamo=True,
        verbose=False)
    fused, counts = ort_fusions.optimize_for_ort(program.model)
    layers = model.model.config.num_hidden_layers
    if counts["mha2"] != layers:
        raise RuntimeError(f"fused attention in {counts['mha2']} of {layers} "
                           "layers")
    onnx_ir.save(fused, path)


def export_int8(path, out):
    with tempfile.TemporaryDirectory() as scratch:
        quantization.quantize_dynamic(
            path, out, per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            # What the fused operators give has no type that it could infer.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})


def export_openvino(model, masked, path):
    converted = openvino.convert_model(model, example_input=example(masked))
    openvino.save_model(converted, path, compress_to_fp16=False)


def main():
    directory, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    with torch.no_grad():
        for masked in (False, True):
            suffix = "-masked" if masked else ""
            for name, export in (("plain", export_plain),
                                 ("fused", export_fused)):
                path = out / f"{name}{suffix}.onnx"
                # Anew each time: tracing leaves traces in a module.
                export(PooledModel(directory), masked, path)
                export_int8(path, out / f"{name}{suffix}-int8.onnx")
            export_openvino(PooledModel(directory), masked,
                            out / f"openvino{suffix}.xml")


if __name__ == "__main__":
    main()
