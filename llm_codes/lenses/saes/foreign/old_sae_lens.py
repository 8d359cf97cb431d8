"""Files of sae-lens before version 4: one `.pt` with the weights and the configuration.

    {"cfg": {...}, "state_dict": {"W_enc", "b_enc", "W_dec", "b_dec", ...}}     read, where cfg is a plain mapping
    {"cfg": an object of a class of sae-lens 1 or 2, ...}                        named: opening it would run its code

`weights_only` is on: nothing is unpickled. sae-lens' own `handle_config_defaulting` brings key names to today's.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError

WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag", "threshold")


def old_parts(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration (sae-lens' keys of today) and weights of an old `.pt`.

    Raises:
        UserError: the configuration is a pickled object; the file holds something else.
    """
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"expected tensors and plain values in {file}; it is an sae-lens file of before version 3 with a pickled "
            "object, which is not opened; convert it with the sae-lens that wrote it and save_model"
        ) from error
    if not isinstance(held, Mapping) or not isinstance(held.get("cfg"), Mapping) or "state_dict" not in held:
        raise UserError(f"expected cfg and state_dict in {file}; it holds neither; name a dictionary's file")
    from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting

    config = dict(handle_config_defaulting(dict(held["cfg"])))
    weights = {name: value for name, value in held["state_dict"].items() if name in WEIGHTS}
    return config, weights
