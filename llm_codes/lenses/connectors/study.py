"""Connectors between two dictionaries of one MLP: harvest their features, fit, start analytically, save, load.

    x --SAE_in--> F_in --connector--> F_out --SAE_out--> y        (the real network: y = MLP(x))

Axes: token, width, feature. Format on disk: `connector.safetensors` (compressed rows: `starts`, `inputs`, `weights`,
`bias`) and `connector.json` (activation, sizes, provenance).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.errors import UserError
from eval.measures.connectors.connector import Connector, ConnectorFit, FeatureRows, fit_connector
from eval.runs import atomic_path, json_text
from llm_codes.configs.spectra import HarvestConfig
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import harvest
from llm_codes.lenses.saes.files import SAEFolder, check_fits, check_pair
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site


@dataclass
class FeaturePairs:
    """Features of both dictionaries on the same tokens, and what is needed to show a token again.

    inputs, outputs: sparse features [token active]. x, y: activations of a sample of tokens [sample width].
    tokens, document, window, position: [token]. windows: all tokens of each window [window position].
    """

    inputs: FeatureRows
    outputs: FeatureRows
    x: Float[Tensor, "sample width"]
    y: Float[Tensor, "sample width"]
    tokens: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]
    window: Int[np.ndarray, " token"]
    position: Int[np.ndarray, " token"]
    windows: Int[np.ndarray, "window position"]
    mean_in: Float[Tensor, " width"]
    mean_out: Float[Tensor, " width"]


class PairConsumer:
    """Keeps both sides' features of every token, and the activations of the first `sample` tokens."""

    def __init__(self, model: Model, first: SAEFolder, second: SAEFolder, sample: int = 8192) -> None:
        self.site_in, self.site_out = resolve_site(model, first.hook), resolve_site(model, second.hook_out)
        self.first, self.second, self.sample = first, second, sample
        self.parts: dict[str, list[Any]] = {name: [] for name in ("in", "out", "x", "y", "place")}
        self.sums = [torch.zeros(self.site_in.width), torch.zeros(self.site_out.width)]

    expected_tokens = 0

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site_in, self.site_out)

    def memory_bytes(self) -> int:
        """What is kept at the end, twice while it is joined: features (k per token where known, else 64), places, the
        activations of the sample."""
        active = sum(int(getattr(side.sae.cfg, "k", 64)) for side in (self.first, self.second))
        sample = min(self.sample, self.expected_tokens) * (self.site_in.width + self.site_out.width) * 4
        return 2 * (self.expected_tokens * (active * 12 + 32) + sample)

    def update(self, activations: Mapping[str, Tensor], batch: Batch, keep: Bool[Tensor, "batch position"]) -> None:
        x, y = (activations[site.hook][keep].float().cpu() for site in self.sites)
        self.parts["in"].append(self.first.encode_rows(x))
        self.parts["out"].append(self.second.encode_rows(y))
        if sum(map(len, self.parts["x"])) < self.sample:
            self.parts["x"].append(x)
            self.parts["y"].append(y)
        self.sums[0] += x.sum(0)
        self.sums[1] += y.sum(0)
        row, position = keep.cpu().nonzero(as_tuple=True)
        place = [batch.tokens[row, position], batch.document[row], batch.window[row], position]
        self.parts["place"].append(torch.stack(place).numpy())

    def pairs(self, corpus: Corpus) -> FeaturePairs:
        """Everything harvested, once the pass is over."""
        inputs, outputs = (FeatureRows.concatenate(self.parts[side]) for side in ("in", "out"))
        tokens, document, window, position = np.concatenate(self.parts["place"], axis=1)
        n = max(1, len(inputs))
        x, y = torch.cat(self.parts["x"]), torch.cat(self.parts["y"])
        means = [total / n for total in self.sums]
        return FeaturePairs(inputs, outputs, x, y, tokens, document, window, position, corpus.tokens, *means)


def harvest_options(config: HarvestConfig) -> dict[str, Any]:
    """How a command's configuration asks for its pass over the text, as keywords of `harvest_pairs`."""
    return {
        "batch_size": config.batch_size,
        "exclude_positions": config.exclude_positions,
        "max_memory_gb": config.max_memory_gb,
    }


def harvest_pairs(
    model: Model,
    corpus: Corpus,
    first: SAEFolder,
    second: SAEFolder,
    *,
    batch_size: int = 16,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
) -> FeaturePairs:
    """Both dictionaries' features on one pass over the corpus; the first positions of each window are left out.

    max_memory_gb: refuse to start where the pass and the features kept would need more beyond the model.

    Raises:
        UserError: a dictionary that does not fit the model, a pair of different models, sides in the wrong order.
    """
    check_pair(first, second)
    consumer = PairConsumer(model, check_fits(first, model), check_fits(second, model))
    site_in, site_out = consumer.sites
    if site_in.layer != site_out.layer or site_in.kind not in ("mlp_in", "resid_mid") or site_out.kind != "mlp_out":
        raise UserError(
            f"expected a dictionary before an MLP (mlp_in or resid_mid) and one at its output (mlp_out); "
            f"got {site_in.name} and {site_out.name}; train them around the same layer's MLP"
        )
    consumer.expected_tokens = corpus.n_tokens
    harvest(
        model,
        corpus,
        [consumer],
        batch_size=batch_size,
        exclude_positions=exclude_positions,
        max_memory_gb=max_memory_gb,
        label="features",
    )
    return consumer.pairs(corpus)


def mlp_function(model: Model, site: Site) -> Callable[[Tensor], Tensor]:
    """The MLP alone, as a function of what the site holds: activations [token width] to MLP outputs."""
    block = model.bridge.blocks[site.layer]

    def run(x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        hidden = x[None].to(model.device, model.dtype)
        if site.kind == "resid_mid":
            hidden = block.ln2(hidden)
        return block.mlp(hidden)[0].float()

    return run


def mean_jacobian(function: Callable[[Tensor], Tensor], x: Float[Tensor, "token width"]) -> Float[Tensor, "out in"]:
    """The derivative of the function averaged over tokens, one backward pass per output."""
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        y = function(x)
        rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0].mean(0) for i in range(y.shape[1])]
    return torch.stack(rows).detach()


def analytic_start(
    model: Model, pairs: FeaturePairs, first: SAEFolder, second: SAEFolder, sample: int = 512
) -> tuple[Float[Tensor, "input output"], Float[Tensor, " output"]]:
    """Dense weights and bias of the analytic connector, without training.

    `W = E_2 J D_1`, `b = E_2 (mean(y) + J (b_1 - mean(x)) - b_2) + e_2`, J the Jacobian averaged over tokens ([FC]
    has `J = W_mlp` for a linear map).
    """
    x, y = pairs.x[:sample], pairs.y[:sample]
    jacobian = mean_jacobian(mlp_function(model, resolve_site(model, first.hook)), x).cpu()
    encoder = second.sae.W_enc.detach()
    subtract = second.offset if second.sae.cfg.apply_b_dec_to_input else torch.zeros_like(second.offset)
    weight = first.vectors @ jacobian.T @ encoder
    bias = (y.mean(0) + jacobian @ (first.offset - x.mean(0)) - subtract) @ encoder
    return weight, bias + getattr(second.sae, "b_enc", torch.zeros(second.n_features)).detach()


def largest_edges(weight: Tensor, bias: Tensor, scale: Tensor, per_output: int, activation: str) -> Connector:
    """Keep the edges of largest attribution `|w| rms(input)` of a dense connector."""
    size = weight.abs() * scale[:, None]
    count = min(per_output, len(weight))
    kept = (size >= size.topk(count, dim=0).values[-1]) & (size > 0)
    return Connector.from_dense(weight * kept, bias, activation)


def refitted(
    pairs: FeaturePairs,
    support: Bool[Tensor, "input output"],
    options: ConnectorFit,
    metric: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
) -> Connector:
    """Weights fitted on given edges, without penalty, for `options.refit_steps` steps."""
    plain = replace(options, l1=0.0, edges_per_output=None, steps=options.refit_steps, refit_steps=0)
    return fit_connector(pairs.inputs, pairs.outputs, plain, initial=initial, support=support, metric=metric)


def random_support(pairs: FeaturePairs, like: Connector, seed: int) -> Bool[Tensor, "input output"]:
    """As many edges per output as another connector has, at random places among live inputs."""
    generator = torch.Generator().manual_seed(seed + 1)
    live = pairs.inputs.root_mean_square() > 0
    priority = torch.rand(like.n_inputs, like.n_outputs, generator=generator).mul_(live[:, None])
    counts = like.starts.diff()
    support = torch.zeros(priority.shape, dtype=torch.bool)
    for columns in torch.arange(like.n_outputs).split(256):  # ranks of everything at once would take 16 bytes each
        most = max(1, int(counts[columns].max()))
        places = priority[:, columns].topk(most, dim=0).indices
        chosen = torch.zeros(len(priority), len(columns), dtype=torch.bool)
        support[:, columns] = chosen.scatter_(0, places, torch.arange(most)[:, None] < counts[columns])
    return support & live[:, None]


def train_connector(
    model: Model,
    pairs: FeaturePairs,
    first: SAEFolder,
    second: SAEFolder,
    options: ConnectorFit | None = None,
    *,
    init: str = "random",
    loss: str = "decoded",
) -> Connector:
    """Fit a connector on harvested features.

    init: `random` or `analytic`. loss: `decoded` measures errors in what the network reads (after the output
    dictionary's vectors), `features` feature by feature as [FC] does.

    Raises:
        UserError: unknown init or loss, and everything `fit_connector` refuses.
    """
    if init not in ("random", "analytic") or loss not in ("decoded", "features"):
        raise UserError(
            f"expected init random or analytic and loss decoded or features; got {init!r}, {loss!r}; choose among those"
        )
    options = options or ConnectorFit()
    start = analytic_start(model, pairs, first, second) if init == "analytic" else None
    metric = second.vectors if loss == "decoded" else None
    connector = fit_connector(pairs.inputs, pairs.outputs, options, initial=start, metric=metric)
    words: dict[str, Any] = {"init": init, "loss": loss, "fit": asdict(options), "fit_tokens": len(pairs.inputs)}
    words |= {"sae_in": first.name, "sae_out": second.name}
    words |= {"hook_in": first.hook, "hook_out": second.hook_out}
    words |= {key: second.metadata.get(key) for key in ("model_name", "tokenizer_hash", "model_hash")}
    return connector.with_weights(connector.weights, **words)


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
    with atomic_path(folder / "connector.json") as temporary:
        temporary.write_text(json_text(words), encoding="utf-8")
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
