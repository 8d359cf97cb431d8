"""A GPT-2 of two layers written by hand in NumPy, float64, in which any node's write or any branch's reading is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llm_codes.models import Model

Arrays = Mapping[str, np.ndarray]


class TwoLayers:
    """writes: `tokens`, `head l.h` (before the output projection), `attention l`, `MLP l`; reads: the stream before the
    norm of `attention l`, `head l.h`, `MLP l`, `logits`; streams: the residual stream entering layer l."""

    def __init__(self, model: Model) -> None:
        network: Any = model.bridge.original_model
        self.p = {name: value.detach().double().numpy() for name, value in network.state_dict().items()}
        self.p = {name.replace("_original_component.", ""): value for name, value in self.p.items()}
        self.bias = model.bridge.b_U.detach().double().numpy()  # GPT-2 has none, the hooked model does
        self.heads, self.layers = int(network.config.n_head), int(network.config.n_layer)

    def run(
        self, tokens: Sequence[int], writes: Arrays | None = None, reads: Arrays | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Logits of the last position, and every write and reading on the way."""
        self.writes, self.reads = dict(writes or {}), dict(reads or {})
        self.wrote: dict[str, np.ndarray] = {}
        self.had: dict[str, np.ndarray] = {}
        p = self.p
        x = self._write(
            "tokens", p["transformer.wte.weight"][list(tokens)] + p["transformer.wpe.weight"][: len(tokens)]
        )
        for layer in range(self.layers):
            x = self._write(f"stream {layer}", x)
            x = x + self._attention(layer, x)
            x = x + self._mlp(layer, x)
        last = self._norm("transformer.ln_f", self._read("logits", x))[-1]
        return last @ p["lm_head.weight"].T + self.bias, self.wrote, self.had

    def _write(self, name: str, value: np.ndarray) -> np.ndarray:
        value = self.writes.get(name, value)
        self.wrote[name] = value
        return value

    def _read(self, name: str, value: np.ndarray) -> np.ndarray:
        value = self.reads.get(name, value)
        self.had[name] = value
        return value

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def _attention(self, layer: int, x: np.ndarray) -> np.ndarray:
        name, n = f"transformer.h.{layer}", len(x)
        out = []
        for head in range(self.heads):
            stream = self._read(f"head {layer}.{head}", self._read(f"attention {layer}", x))
            qkv = self._norm(f"{name}.ln_1", stream) @ self.p[f"{name}.attn.c_attn.weight"]
            qkv = qkv + self.p[f"{name}.attn.c_attn.bias"]
            width = qkv.shape[1] // 3 // self.heads
            q, k, v = (part[:, head * width : (head + 1) * width] for part in np.split(qkv, 3, axis=1))
            scores = np.where(np.tril(np.ones((n, n))) > 0, q @ k.T / np.sqrt(width), -np.inf)
            shares = np.exp(scores - scores.max(1, keepdims=True))
            out.append(self._write(f"head {layer}.{head}", shares / shares.sum(1, keepdims=True) @ v))
        projected = np.concatenate(out, 1) @ self.p[f"{name}.attn.c_proj.weight"]
        return self._write(f"attention {layer}", projected + self.p[f"{name}.attn.c_proj.bias"])

    def _mlp(self, layer: int, x: np.ndarray) -> np.ndarray:
        name = f"transformer.h.{layer}"
        into = self._norm(f"{name}.ln_2", self._read(f"MLP {layer}", x))
        hidden = into @ self.p[f"{name}.mlp.c_fc.weight"] + self.p[f"{name}.mlp.c_fc.bias"]
        hidden = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
        out = hidden @ self.p[f"{name}.mlp.c_proj.weight"] + self.p[f"{name}.mlp.c_proj.bias"]
        return self._write(f"MLP {layer}", out)
