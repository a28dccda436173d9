"""A small model out of a BERT checkpoint: its first layer, as it is."""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "attention"))

from make_models import Checkpoint, write  # pylint: disable=wrong-import-position

VOCABULARY = 4096
FIRST_LAYER = "encoder.layer.0."
WORDS = "embeddings.word_embeddings.weight"


def cut_model(source, target):
    """Writes config.json and model.safetensors into the directory `target`."""
    config = json.loads((source / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "vocab_size": VOCABULARY}
    (target / "config.json").write_text(json.dumps(config, indent=1))
    checkpoint = Checkpoint(source / "model.safetensors")
    tensors = {}
    for name in sorted(checkpoint.names()):
        if name == WORDS:
            columns = checkpoint.shape(name)[1]
            rows = checkpoint.data(name)[: 4 * columns * VOCABULARY]
            tensors[name] = [VOCABULARY, columns], rows
        elif name.startswith(FIRST_LAYER) or (
            name.startswith("embeddings.") and not name.endswith("position_ids")
        ):
            tensors[name] = checkpoint.shape(name), checkpoint.data(name)
    write(target / "model.safetensors", tensors)
