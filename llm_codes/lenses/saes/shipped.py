"""Dictionaries that ship with a model: found by site and layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from eval.errors import UserError, known_name, nearest
from eval.results import Result
from llm_codes.lenses.saes.files import CONFIG, load_sae
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.model_sources import EMBEDDED, PRETRAINED
from llm_codes.sites import KINDS

R = TypeVar("R", bound=Result)

SHIPPED = PRETRAINED / "saes-gpt2-sotu"
SHIPPED_TRANSCODERS = PRETRAINED / "transcoders-gpt2-sotu"
TRANSCODER = "mlp_in->mlp_out"
CONTROL = "untrained.json"
"""Beside the dictionaries: what those of the untrained model gave."""


def load_dictionary(
    reference: str | Path,
    sae_id: str = "",
    *,
    site: str = "",
    kind: str = "",
    layer: int | None = None,
    device: str = "cpu",
) -> SAEFolder:
    """A dictionary that ships with a model, or one from a folder or a published release.

        load_dictionary("embedded", site="mlp_out", layer=3)
        load_dictionary("embedded", kind="transcoder", layer=0)
        load_dictionary("runs/saes/blocks.2.mlp.hook_out-topk-1536")
        load_dictionary("gpt2-small-res-jb", "blocks.8.hook_resid_pre")

    Args:
        reference: the name of a model, a folder, or a release. sae_id: id within a release.
        site, layer: of a model's own dictionaries, where it reads; a transcoder's site is written `mlp_in->mlp_out`.

    Raises:
        UserError: none at that site and layer (those that ship are named); see `load_sae`.
    """
    if str(reference) not in EMBEDDED:
        if site or kind or layer is not None:
            raise UserError(
                f"expected site and layer only with a model's own dictionaries; got them with {reference}; leave both "
                "out"
            )
        return load_sae(reference, sae_id, device)
    if kind:
        known_name(kind, ("transcoder",), "kind of dictionary")
        site = TRANSCODER
    found = {**shipped_places(), **shipped_places(SHIPPED_TRANSCODERS)}
    asked = f"{site}@{layer}"
    if asked not in found:
        raise UserError(f"no dictionary ships at {asked}: {nearest(asked, found)}; train one with `sae train`")
    return load_sae(found[asked], device=device)


def shipped_places(folder: Path = SHIPPED) -> dict[str, Path]:
    """The folders of the dictionaries that ship, by `site@layer`."""
    out = {}
    for config in sorted(folder.glob(f"*/{CONFIG}")):
        metadata = json.loads(config.read_text("utf-8"))["metadata"]
        reads, writes = metadata["hook_name"], metadata.get("hook_name_out") or metadata["hook_name"]
        kind = _kind(reads) if writes == reads else f"{_kind(reads)}->{_kind(writes)}"
        out[f"{kind}@{reads.split('.')[1]}"] = config.parent
    return out


def shipped_transcoders() -> dict[int, Path]:
    """The folders of the embedded model's transcoders, by layer."""
    return {int(name.rpartition("@")[2]): path for name, path in shipped_places(SHIPPED_TRANSCODERS).items()}


def shipped_control(kind: str, made_from: Mapping[str, str]) -> Any:
    """What the untrained model's own dictionaries gave, trained on an equal budget: results that ship, or none.

    kind: `curves` or `replacement` of transcoders, `evaluation` of a connector. made_from: of what the trained model's
    results were made, by content; those of another model, text or option have no shipped control.
    """
    path = (SHIPPED if kind == "evaluation" else SHIPPED_TRANSCODERS) / CONTROL
    found = json.loads(path.read_text("utf-8")).get(kind) if path.is_file() else None
    return found if found is not None and found["made_from"] == dict(made_from) else None


def shipped_result(kind: str, made_from: Mapping[str, str], of: type[R]) -> R | None:
    """The same as the result that it is; none ships: none."""
    found = shipped_control(kind, made_from)
    return None if found is None else of.from_json(found)


def _kind(hook: str) -> str:
    """The short name of a canonical hook name."""
    suffix = hook.split(".", 2)[2]
    return next((kind for kind, (_, _, suffixes) in KINDS.items() if suffix in suffixes), suffix)
