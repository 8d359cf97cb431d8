"""`sae.safetensors` and `cfg.json` of EleutherAI's sparsify; the folder's name says the module that was read.

TopK dictionaries and TopK transcoders, with or without a skip map. Source: eai-sparsify 1.3, `sparse_coder.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from eval.errors import UserError


def sparsify_parts(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration (sae-lens' keys; `k` also for a transcoder, of which sae-lens has no TopK class) and weights.

    Raises:
        UserError: a signed TopK, a GroupMax, a skip map within one site.
    """
    from safetensors.torch import load_file

    words = json.loads((path / "cfg.json").read_text("utf-8"))
    state = load_file(path / "sae.safetensors")
    if words.get("signed"):
        raise UserError(f"expected features of one sign; {path} is a signed TopK of sparsify, which is not read")
    if words.get("activation", "topk") != "topk":
        raise UserError(f"expected a TopK; {path} is a {words['activation']} of sparsify, which is not read")
    transcodes = bool(words.get("transcode"))
    if "W_skip" in state and not transcodes:
        raise UserError(f"expected a skip map in transcoders only; {path} has W_skip within one site; it is not read")
    weights = {"W_enc": state["encoder.weight"].T, "b_enc": state["encoder.bias"]}
    weights |= {"W_dec": state["W_dec"], "b_dec": state["b_dec"]}
    config: dict[str, Any] = {"k": int(words["k"]), "apply_b_dec_to_input": not transcodes}
    if transcodes:
        config |= {"architecture": "transcoder", "d_out": weights["W_dec"].shape[1]}
    else:
        config |= {"architecture": "topk", "rescale_acts_by_decoder_norm": False}
    if "W_skip" in state:
        config["architecture"] = "skip_transcoder"
        weights["W_skip"] = state["W_skip"]
    return config | {"metadata": _place(path.name, transcodes)}, weights


def _place(name: str, transcodes: bool) -> dict[str, str]:
    """Where a module of `layers.3.mlp` reads and writes; empty where the folder has another name."""
    found = re.search(r"(?:layers|h)[._](\d+)(?:[._](\w+))?", name)
    if not found:
        return {}
    kinds = {"mlp": "mlp_out", "attn": "attn_out", "self_attn": "attn_out"}
    writes = f"blocks.{found[1]}.hook_{kinds.get(found[2] or '', 'resid_post')}"
    if not transcodes:
        return {"hook_name": writes}
    return {"hook_name": f"blocks.{found[1]}.mlp.hook_in", "hook_name_out": writes} if found[2] == "mlp" else {}
