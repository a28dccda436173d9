"""PyTorch: transformers' BertModel with its fused attention (SDPA)."""

import torch
import transformers

from batches import batch_sizes
from candidate import Candidate, describe

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
VERSION = f"PyTorch {torch.__version__.partition('+')[0]}"


def load_model(directory, precision):
    return transformers.BertModel.from_pretrained(
        directory, attn_implementation="sdpa", add_pooling_layer=False,
        dtype=TYPES[precision]).eval()


def pool(hidden, mask):
    """Means over the tokens [batch, size] of [batch, rows, size]."""
    if mask is None:
        return hidden.mean(1)
    mask = mask.to(hidden.dtype)
    return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


class TorchCandidate(Candidate):
    def __init__(self, model, batch, streams, threads):
        self._model = model
        self._threads = threads if streams == 1 else 1
        super().__init__(describe(batch, streams, threads), batch, streams)

    def start_stream(self):
        torch.set_num_threads(1)

    def encode(self, documents, sequences):
        # Of this thread; those of the streams are set when they start.
        torch.set_num_threads(self._threads)
        return super().encode(documents, sequences)

    def compute(self, ids, mask):
        ids = torch.from_numpy(ids)
        mask = None if mask is None else torch.from_numpy(mask)
        positions, limit = None, self._model.config.max_position_embeddings
        if ids.shape[1] > limit:
            # A whole document: the positions begin anew, which costs what more
            # of them would cost.
            positions = torch.arange(ids.shape[1])[None] % limit
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask,
                                 position_ids=positions).last_hidden_state
            return pool(hidden.float(), mask).numpy()


class Backend:
    def __init__(self, arguments):
        self.version = f"{VERSION} {arguments.precision}"
        self._threads = arguments.threads
        self._model = load_model(arguments.model, arguments.precision)

    def candidates(self, documents, _):
        if len(documents) == 1:
            return [TorchCandidate(self._model, 1, 1, self._threads)]
        return [TorchCandidate(self._model, batch, streams, self._threads)
                for batch, streams in batch_sizes(len(documents),
                                                  self._threads)]
