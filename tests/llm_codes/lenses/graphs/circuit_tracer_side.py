"""The other side of `test_effects_circuit_tracer`, run where circuit-tracer is installed; it imports nothing of ours.

    python circuit_tracer_side.py FOLDER     FOLDER/model: a GPT-2 checkpoint; FOLDER/transcoders.npz: W_enc, W_dec,
                                             b_enc, b_dec, threshold by layer, and the prompt's tokens

Writes FOLDER/adjacency.npz: the dense graph of circuit-tracer's `attribute`, and the processor seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def opened_model(folder: Path, transcoders: Any) -> Any:
    """The checkpoint as circuit-tracer's replacement model, weights unprocessed."""
    from circuit_tracer.replacement_model.replacement_model_transformerlens import TransformerLensReplacementModel
    from transformer_lens import HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions.gpt2 import convert_gpt2_weights
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    network = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()
    own = network.config
    end = json.loads((folder / "tokenizer_config.json").read_text())["bos_token"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), bos_token=end, eos_token=end)
    config = HookedTransformerConfig(
        n_layers=own.n_layer,
        d_model=own.n_embd,
        n_ctx=own.n_positions,
        d_head=own.n_embd // own.n_head,
        n_heads=own.n_head,
        d_vocab=own.vocab_size,
        act_fn=own.activation_function,
        eps=own.layer_norm_epsilon,
        normalization_type="LN",
        device="cpu",
        model_name="gpt2",
    )
    model = TransformerLensReplacementModel(config)
    model.tokenizer = tokenizer  # given to the constructor, it would be fetched again from the Hub
    unprocessed = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
    options: Any = dict.fromkeys((*unprocessed, "refactor_factored_attn_matrices"), False)
    model.load_and_process_state_dict(convert_gpt2_weights(network, config), **options)
    model.eval()
    model._configure_replacement_model(transcoders)
    return model


def opened_transcoders(weights: Any) -> Any:
    from circuit_tracer.transcoder.activation_functions import JumpReLU
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet

    layers = {}
    for layer in range(int(weights["n_layers"])):
        part = {name: torch.tensor(weights[f"{name}_{layer}"]) for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
        threshold = torch.tensor(weights[f"threshold_{layer}"])
        options: Any = {"device": torch.device("cpu"), "dtype": torch.float32}
        layers[layer] = SingleLayerTranscoder(*part["W_dec"].shape[::-1], JumpReLU(threshold), layer, **options)
        part["W_enc"] = part["W_enc"].T.contiguous()
        with torch.no_grad():
            for name, value in part.items():
                getattr(layers[layer], name).copy_(value)
    return TranscoderSet(layers, "mlp.hook_in", "mlp.hook_out")


def main(folder: Path) -> None:
    from circuit_tracer.attribution.attribute import attribute

    weights = np.load(folder / "transcoders.npz")
    model = opened_model(folder / "model", opened_transcoders(weights))
    tokens = torch.tensor(weights["tokens"])
    seconds = []
    for _ in range(int(weights["repeats"])):
        started = time.process_time()
        graph = attribute(tokens, model)
        seconds.append(time.process_time() - started)
    np.savez(
        folder / "adjacency.npz",
        adjacency=graph.adjacency_matrix.numpy(),
        features=graph.active_features.numpy(),
        activations=graph.activation_values.detach().numpy(),
        logits=np.array([target.vocab_idx for target in graph.logit_targets]),
        seconds=np.array(seconds),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
