"""Dictionaries on disk: sae-lens folders (`cfg.json`, `sae_weights.safetensors`, `sparsity.safetensors`).

What we write, `sae_lens.SAE.load_from_disk` reads; what it reads, we read, together with published SAEs by release and
id. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.folder import SAEFolder

WEIGHTS, CONFIG, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"


def load_sae(reference: str | Path, sae_id: str = "", device: str = "cpu") -> SAEFolder:
    """A dictionary from a folder, or a published one by release and id.

    Raises:
        UserError: no such folder, an empty one, a missing or damaged file, an unknown release or id.
    """
    declare_missing_operators()
    from sae_lens import SAE

    path = Path(reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sae_id:
            sae, name = _load_published(SAE, str(reference), sae_id, device), f"{reference}/{sae_id}"
        else:
            _check_folder(path)
            try:
                sae, name = SAE.load_from_disk(path, device=device, dtype="float32"), path.name
            except Exception as error:  # safetensors, json, torch and sae-lens each raise their own
                line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise UserError(
                    f"expected an sae-lens folder at {path}; it is damaged ({line[:160]}); train or copy it again"
                ) from error
    sae.eval()
    metadata = dict(sae.cfg.metadata.to_dict())
    hook = str(metadata.get("hook_name") or "")
    return SAEFolder(sae, hook, str(metadata.get("hook_name_out") or hook), metadata, name)


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise UserError(f"expected a folder with {CONFIG} and {WEIGHTS}; got {path}, which is none; check the path")
    missing = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
    if missing:
        held = ", ".join(sorted(item.name for item in path.iterdir())[:4]) or "nothing"
        raise UserError(f"expected {' and '.join(missing)} in {path}; it holds {held}; train an SAE into it first")
    try:
        json.loads((path / CONFIG).read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"expected JSON in {path / CONFIG}; it is damaged ({error}); train or copy it again") from error


def _load_published(sae_class: Any, release: str, sae_id: str, device: str) -> Any:
    try:
        return sae_class.from_pretrained(release, sae_id, device=device)
    except Exception as error:  # sae-lens raises ValueError, the Hub client a dozen kinds
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"expected a published SAE {release}/{sae_id}; got: {line[:200]}; "
            "check release and id, or pass a folder (a Hub download needs a network)"
        ) from error
