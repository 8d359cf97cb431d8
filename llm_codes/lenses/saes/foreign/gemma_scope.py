"""`params.npz` of Gemma Scope: JumpReLU; the path says the layer and, in the repository's name, the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.errors import UserError


def gemma_scope_parts(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration (sae-lens' keys) and weights of a folder with `params.npz`.

    Raises:
        UserError: the file lacks a tensor.
    """
    with np.load(path / "params.npz", allow_pickle=False) as data:
        tensors = {re.sub("^w_", "W_", name): torch.tensor(data[name]).float() for name in data.files}
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UserError(f"expected {', '.join(names)} in {path / 'params.npz'}; it lacks {missing[0]}; copy it again")
    where = str(path.resolve())
    layer, site = re.search(r"layer_(\d+)", where), re.search(r"-(res|mlp|att)(?:-|/|$)", where)
    metadata = {}
    if layer and (site is None or site[1] != "att"):
        suffix = "hook_mlp_out" if site and site[1] == "mlp" else "hook_resid_post"
        metadata = {"hook_name": f"blocks.{layer[1]}.{suffix}"}
    config = {"architecture": "jumprelu", "apply_b_dec_to_input": False, "metadata": metadata}
    return config, {name: tensors[name] for name in names}
