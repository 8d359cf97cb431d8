"""Dictionaries on disk: sae-lens folders (`cfg.json`, `sae_weights.safetensors`, `sparsity.safetensors`).

What we write, `sae_lens.SAE.load_from_disk` reads; what it reads, we read, together with published SAEs by release and
id and the formats of `foreign.formats`. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.foreign.formats import foreign_parts, lens_object

WEIGHTS, CONFIG, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"


def load_sae(reference: str | Path, sae_id: str = "", device: str = "cpu", *, hook: str = "") -> SAEFolder:
    """A dictionary from a folder, or a published one by release and id.

    hook: where it reads, for a folder that does not say.

    Raises:
        UserError: no such folder, an empty one, a missing or damaged file, a format that is not read, weights that are
            not finite, an unknown release or id.
    """
    declare_missing_operators()
    path = Path(reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sae_id:
            return _known(_load_published(str(reference), sae_id, device), f"{reference}/{sae_id}", hook)
        foreign = foreign_parts(path) if path.exists() and not (path / WEIGHTS).is_file() else None
        if foreign is not None:
            return _known(lens_object(*foreign, device), path.name, hook)
        _check_folder(path)
        return _known(_load_folder(path, device), path.name, hook)


def open_dictionary(reference: Any, device: str = "cpu") -> SAEFolder:
    """A dictionary from what a script has: a folder, a dictionary, or an object of sae-lens.

    Raises:
        UserError: something else; see `load_sae`.
    """
    if isinstance(reference, SAEFolder):
        return reference
    if isinstance(reference, (str, Path)):
        return load_sae(reference, device=device)
    if hasattr(reference, "cfg") and hasattr(reference, "W_dec"):
        return _known(reference, str(reference.cfg.metadata.to_dict().get("sae_id") or "SAE object"), "")
    raise UserError(
        f"expected a dictionary's folder or an SAE object of sae-lens; got {type(reference).__name__}; pass one"
    )


def _known(sae: Any, name: str, hook: str) -> SAEFolder:
    """The dictionary with what its metadata says, its weights checked."""
    for tensor, values in sae.state_dict().items():
        count = int((~values.isfinite()).sum())
        if count:
            raise UserError(
                f"expected finite weights in {name}; {tensor} has {count} NaN or infinite of {values.numel()}; "
                "train or copy it again"
            )
    sae.eval()
    metadata = dict(sae.cfg.metadata.to_dict())
    hook = hook or str(metadata.get("hook_name") or "")
    return SAEFolder(sae, hook, str(metadata.get("hook_name_out") or hook), metadata, name)


def _load_folder(path: Path, device: str) -> Any:
    from sae_lens import SAE

    try:
        return SAE.load_from_disk(path, device=device, dtype="float32")
    except Exception as error:  # safetensors, json, torch and sae-lens each raise their own
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"expected an sae-lens folder at {path}; it is damaged ({line[:160]}); train or copy it again"
        ) from error


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


def _load_published(release: str, sae_id: str, device: str) -> Any:
    from sae_lens import SAE

    try:
        return SAE.from_pretrained(release, sae_id, device=device)
    except Exception as error:  # sae-lens raises ValueError, the Hub client a dozen kinds
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"expected a published SAE {release}/{sae_id}; got: {line[:200]}; "
            "check release and id, or pass a folder (a Hub download needs a network)"
        ) from error
