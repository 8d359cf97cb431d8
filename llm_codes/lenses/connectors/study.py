"""Connectors between two dictionaries of one MLP: harvest their features, fit, start analytically, save, load.

    x --SAE_in--> F_in --connector--> F_out --SAE_out--> y        (the real network: y = MLP(x))

Axes: token, width, feature. Format on disk: `connector.safetensors` (compressed rows: `starts`, `inputs`, `weights`,
`bias`) and `connector.json` (activation, sizes, provenance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit import fit_connector
from eval.measures.connectors.fit_options import ConnectorFit
from llm_codes.configs.connectors import ConnectorOptions
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.study import with_changes
from llm_codes.models import Model
from llm_codes.sites import Site, resolve_site


def mlp_function(model: Model, site: Site) -> Callable[[Tensor], Tensor]:
    """The MLP alone, as a function of what the site holds: activations [token width] to what the MLP adds."""
    block = model.bridge.blocks[site.layer]

    def run(x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        hidden = x[None].to(model.device, model.dtype)
        if site.kind == "resid_mid":
            hidden = block.ln2(hidden)
        written = block.mlp(hidden)
        return (block.ln2_post(written) if hasattr(block, "ln2_post") else written)[0].float()

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
    *,
    seed: int = 0,
) -> Connector:
    """Weights fitted on given edges, without penalty, for `options.refit_steps` steps."""
    plain = replace(options, l1=0.0, edges_per_output=None, steps=options.refit_steps, refit_steps=0)
    return fit_connector(pairs.inputs, pairs.outputs, plain, initial=initial, support=support, metric=metric, seed=seed)


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


def fit_of(connector: Connector) -> ConnectorFit:
    """How the connector was fitted, so that controls are fitted no worse; the usual way where that is not known."""
    words = {"activation": connector.activation, **connector.description.get("fit", {})}
    words["fit_batch_size"] = words.pop("batch_size", words.get("fit_batch_size", ConnectorFit().fit_batch_size))
    return ConnectorFit(**{name: value for name, value in words.items() if name in ConnectorFit.__dataclass_fields__})


def train_connector(
    model: Model,
    pairs: FeaturePairs,
    first: SAEFolder,
    second: SAEFolder,
    options: ConnectorOptions | None = None,
    *,
    seed: int = 0,
    **changes: Any,
) -> Connector:
    """Fit a connector on harvested features.

    Args:
        options: `init` (`random` or `analytic`), `loss` (`decoded` measures errors in what the network reads, after the
            output dictionary's vectors; `features` feature by feature as [FC] does), `fit`. Defaults: the command's.
        changes: single options by name, of either (`init="analytic"`, `steps=100`). seed: of the fit.

    Raises:
        UserError: an unknown option, with the nearest, and everything `fit_connector` refuses.
    """
    asked = options or ConnectorOptions()
    asked, fit = with_changes((asked, asked.fit), changes)
    start = analytic_start(model, pairs, first, second) if asked.init == "analytic" else None
    metric = second.vectors if asked.loss == "decoded" else None
    connector = fit_connector(pairs.inputs, pairs.outputs, fit, initial=start, metric=metric, seed=seed)
    words: dict[str, Any] = {"init": asked.init, "loss": asked.loss, "fit": asdict(fit) | {"seed": seed}}
    words["fit_tokens"] = len(pairs.inputs)
    words |= {"sae_in": first.name, "sae_out": second.name}
    words |= {"hook_in": first.hook, "hook_out": second.hook_out}
    words |= {key: second.metadata.get(key) for key in ("model_name", "tokenizer_hash", "model_hash")}
    return connector.with_weights(connector.weights, **words)
