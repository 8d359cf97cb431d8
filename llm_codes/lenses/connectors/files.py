"""Connectors on disk, and the chain of dictionaries they join."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from eval.errors import UserError
from eval.files import atomic_path, json_text, write_text
from eval.measures.connectors.connector import Connector
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import content_hash
from llm_codes.lenses.saes.shipped import SHIPPED


def save_connector(connector: Connector, folder: Path, *, half: bool = False) -> Path:
    """Write `connector.safetensors` and `connector.json`, atomically."""
    from safetensors.torch import save_file

    dtype = torch.float16 if half else torch.float32
    tensors = {"starts": connector.starts.int(), "inputs": connector.inputs.int()}
    tensors |= {"weights": connector.weights.to(dtype), "bias": connector.bias.to(dtype)}
    with atomic_path(folder / "connector.safetensors") as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    words = {"activation": connector.activation, "n_inputs": connector.n_inputs, "n_outputs": connector.n_outputs}
    words |= {"n_edges": connector.n_edges, "description": connector.description}
    write_text(folder / "connector.json", json_text(words))
    return folder


def load_connector(folder: str | Path) -> Connector:
    """Read a connector.

    Raises:
        UserError: no such folder, missing or damaged files.
    """
    from safetensors.torch import load_file

    path = Path(folder)
    names = ("connector.json", "connector.safetensors")
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        raise UserError(f"expected {' and '.join(missing)} in {path}; not there; run `connector train --out {path}`")
    try:
        words = json.loads((path / names[0]).read_text("utf-8"))
        tensors = load_file(path / names[1])
        parts = tensors["starts"].long(), tensors["inputs"].long(), tensors["weights"].float(), tensors["bias"].float()
        return Connector(*parts, int(words["n_inputs"]), words["activation"], words["description"])
    except Exception as error:  # safetensors raises its own kind; json and missing keys theirs
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"expected a connector in {path}; it is damaged ({line[:160]}); train it again") from error


def check_connector(connector: Connector, first: SAEFolder, second: SAEFolder) -> None:
    """The connector was trained between dictionaries of these sizes and hooks.

    Raises:
        UserError: sizes, hooks or models differ.
    """
    sizes = (connector.n_inputs, connector.n_outputs)
    if sizes != (first.n_features, second.n_features):
        raise UserError(
            f"expected dictionaries of {sizes[0]} and {sizes[1]} features; got {first.n_features} and "
            f"{second.n_features}; pass the pair the connector was trained on"
        )
    words = connector.description
    for key, mine in (("hook_in", first.hook), ("hook_out", second.hook_out)):
        if words.get(key) and words[key] != mine:
            raise UserError(f"expected {key}={words[key]!r}; got {mine!r}; pass the pair the connector was trained on")
    if words.get("model_hash") and second.metadata.get("model_hash") not in (None, words["model_hash"]):
        raise UserError(
            "expected the model the connector was trained on; got another one's dictionaries; train it again"
        )


@dataclass
class Chain:
    """A connector with its dictionaries."""

    first: SAEFolder
    second: SAEFolder
    connector: Connector
    transcoder: SAEFolder | None = None


def chain_hashes(chain: Chain) -> dict[str, str]:
    """The content of a chain: dictionaries `before` and `after`, `transcoder` where there is one, `connector`."""
    parts = {"before": chain.first, "after": chain.second, "transcoder": chain.transcoder}
    hashes = {name: content_hash(part.sae.state_dict()) for name, part in parts.items() if part is not None}
    tensors = {name: getattr(chain.connector, name) for name in ("starts", "inputs", "weights", "bias")}
    return hashes | {"connector": content_hash(tensors)}


def open_chain(connector: str, first: str, second: str, transcoder: str = "", device: str = "cpu") -> Chain:
    """Load a connector and its pair; all empty: what ships with the embedded model.

    Raises:
        UserError: one of the three is missing, damaged, or does not belong to the others.
    """
    if not (connector or first or second):
        if not SHIPPED.is_dir():
            raise UserError(
                f"expected the shipped pair in {SHIPPED.name}; it is missing; pass --connector, --from and --to"
            )
        connector, first, second = (str(SHIPPED / name) for name in ("connector", "mlp_in", "mlp_out"))
    if not (connector and first and second):
        raise UserError("expected --connector, --from and --to together; got only some of them; pass all three or none")
    chain = Chain(load_sae(first, device=device), load_sae(second, device=device), load_connector(connector))
    check_connector(chain.connector, chain.first, chain.second)
    if transcoder:
        chain.transcoder = load_sae(transcoder, device=device)
        if (chain.transcoder.hook, chain.transcoder.hook_out) != (chain.first.hook, chain.second.hook_out):
            raise UserError(
                f"expected a transcoder from {chain.first.hook} to {chain.second.hook_out}; got one from "
                f"{chain.transcoder.hook} to {chain.transcoder.hook_out}; train it at the same MLP"
            )
    return chain


def chain_folder(path: str | Path) -> tuple[str, str, str]:
    """The three folders of a shipped or saved chain: connector, dictionary before, dictionary after."""
    root = Path(path)
    return str(root / "connector"), str(root / "mlp_in"), str(root / "mlp_out")
