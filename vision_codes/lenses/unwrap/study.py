"""MNIST unwrapped: replace the middle of a ReLU network by sparse features and sparse connectors, and count the cost.

    # 1 network      784 -> h1 -> h2 -> h3 -> 10, ReLU
    # 2 dictionaries TopK SAEs on h1, h2, h3, tied and untied
    # 3 connectors   F1 -> F2 -> F3 with at most `edges` edges per output feature; the second is fitted on what the
                     first one writes, so that it meets what it will meet; errors are measured also as the
                     next layer reads them; then the kept weights of both are fitted once more, together, on
                     the digits that come out (`unwrap_refit`)
    # 4 substitution image -> h1 -> F1 -> F2 -> F3 -> h3 -> digit: layers 2 and 3 are never computed
    # 5 claims       of the feature-connector post [FC], each with a verdict over seeds

Axes: image, unit, feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit import ConnectorFit, fit_connector
from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.measures.dictionaries.step_options import StepOptions
from eval.result_json import to_json
from vision_codes.configs.unwrap import UnwrapConfig
from vision_codes.data import ImageSet, load_images
from vision_codes.lenses.unwrap.refit import RefitOptions, refit_through
from vision_codes.lenses.unwrap.results import Substitution

SHIFTS = (-2, -1, 0, 1, 2)
MOST_WRITTEN = 128  # features of one image that a connector hands on, largest first


@dataclass
class Digits:
    """Standardised images [image pixel] and labels, training and test; `side` in pixels."""

    train: Float[Tensor, "image pixel"]
    train_labels: Int[Tensor, " image"]
    test: Float[Tensor, "image pixel"]
    test_labels: Int[Tensor, " image"]
    side: int

    def shifted(self) -> Float[Tensor, "image pixel"]:
        """Every training image at 25 offsets: more inputs for the dictionaries, no new label."""
        square = self.train.view(-1, self.side, self.side)
        return torch.cat([torch.roll(square, (i, j), (1, 2)).flatten(1) for i in SHIFTS for j in SHIFTS])


def load_digits(dataset: str, seed: int) -> tuple[Digits, dict[str, Any]]:
    """The training and test images of MNIST; where only the test images are at hand, 80% and 20% of those by seed."""
    try:
        train, test = (load_images(dataset, split, seed=seed, own_size=True) for split in ("train", "test"))
        return _digits(train, train.images, train.labels, test.images, test.labels), train.provenance
    except UserError:
        found = load_images(dataset, "all", own_size=True)
    order = np.random.default_rng(seed).permutation(len(found))
    cut = round(0.8 * len(found))
    first, last = order[:cut], order[cut:]
    pictures, labels = found.images, found.labels
    return _digits(found, pictures[first], labels[first], pictures[last], labels[last]), found.provenance


def _digits(found: ImageSet, train: Any, train_labels: Any, test: Any, test_labels: Any) -> Digits:
    if found.channels != 1 or len(set(found.size)) != 1:
        raise UserError(f"expected square grey images; got {found.images.shape[1:]}; use --dataset mnist")
    x, z = (torch.from_numpy(np.ascontiguousarray(part)).float().flatten(1) for part in (train, test))
    mean, scale = x.mean(), x.std().clamp_min(1e-6)
    y, w = (torch.from_numpy(np.ascontiguousarray(part)).long() for part in (train_labels, test_labels))
    return Digits((x - mean) / scale, y, (z - mean) / scale, w, found.size[0])


class Network(torch.nn.Module):
    """Four linear layers, ReLU between them."""

    def __init__(self, n_pixels: int, hidden: int, n_classes: int = 10) -> None:
        super().__init__()
        sizes = [n_pixels, hidden, hidden, hidden, n_classes]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def hidden(self, x: Float[Tensor, "image pixel"]) -> list[Float[Tensor, "image unit"]]:
        """h1, h2, h3."""
        out = []
        for layer in list(self.layers)[:-1]:
            x = layer(x).relu()
            out.append(x)
        return out

    def read_out(self, h3: Float[Tensor, "image unit"]) -> Float[Tensor, "image digit"]:
        return self.layers[-1](h3)


def train_network(digits: Digits, hidden: int, epochs: int, seed: int) -> Network:
    """AdamW with linear decay; each batch is shifted by up to two pixels."""
    torch.manual_seed(seed)
    network = Network(digits.train.shape[1], hidden, int(digits.train_labels.max()) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - epoch / epochs)
        for batch in torch.randperm(len(digits.train), generator=generator).split(128):
            shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
            images = torch.roll(digits.train[batch].view(-1, digits.side, digits.side), shift, (1, 2)).flatten(1)
            loss = functional.cross_entropy(network.read_out(network.hidden(images)[-1]), digits.train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def train_dictionary(
    hidden: Float[Tensor, "image unit"], n_features: int, k: int, steps: int, seed: int, *, tied: bool = True
) -> TopKDictionary:
    """A TopK SAE on one layer; activations are scaled to norm sqrt(width) while training, and back afterwards."""
    width = hidden.shape[1]
    scale = width**0.5 / float(hidden.norm(dim=1).mean())
    options = StepOptions(
        width, n_features, k, tied=tied, learning_rate=2e-3, total_steps=steps, decay_steps=steps // 2, dead_after=60,
        seed=seed,
    )  # fmt: skip
    trainer = TopKTrainer(options)
    trainer.decoder_bias.copy_(hidden.mean(0) * scale)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        trainer.step(hidden[torch.randint(0, len(hidden), (512,), generator=generator)] * scale)
    size = trainer.decoder.norm(dim=1).clamp_min(1e-12)
    bias = trainer.decoder_bias / scale
    encoder, decoder = trainer.encoder * size[:, None], trainer.decoder / size[:, None]
    return TopKDictionary(encoder, trainer.encoder_bias * size / scale, decoder, bias, bias, k)


def quality(dictionary: TopKDictionary, hidden: Float[Tensor, "image unit"]) -> dict[str, float]:
    """FVU, L0, mean L1 of the features and mean squared error on held-out images."""
    rows = encode_rows(dictionary, hidden)
    error = dictionary.decode_rows(rows) - hidden
    spread = (hidden - hidden.mean(0)).square().sum()
    return {
        "fvu": float(error.square().sum() / spread),
        "l0": float((rows.values > 0).float().sum(1).mean()),
        "l1": float(rows.values.sum(1).mean()),
        "mse": float(error.square().mean()),
        "silent_share": float((rows.density() == 0).float().mean()),
    }


def analytic_start(
    layer: torch.nn.Linear, first: TopKDictionary, second: TopKDictionary, h: Float[Tensor, "image unit"]
) -> tuple[Tensor, Tensor]:
    """``W = E_2 J D_1`` with J the layer's Jacobian averaged over images (share of images on which each unit is on)."""
    pre = layer(h)
    jacobian = (pre > 0).float().mean(0)[:, None] * layer.weight
    weight = first.vectors @ jacobian.T @ second.encoder.T
    at_mean = pre.relu().mean(0) + jacobian @ (first.offset - h.mean(0)) - second.input_bias
    return weight, at_mean @ second.encoder.T + second.encoder_bias


def as_read(vectors: Float[Tensor, "feature unit"], reader: torch.nn.Linear) -> Float[Tensor, "feature both"]:
    """Feature vectors as the layer holds them, and beside them as the next layer reads them, each half of the error."""
    read = vectors @ reader.weight.T
    return torch.cat([vectors, read * (vectors.norm() / read.norm().clamp_min(1e-12))], dim=1)


def rows_of(connector: Connector, features: FeatureRows, most: int = MOST_WRITTEN) -> FeatureRows:
    """What a connector writes, in sparse form."""
    predict = connector.predictor()
    parts = [predict(features.rows(batch)) for batch in torch.arange(len(features)).split(4096)]
    return FeatureRows.concatenate([FeatureRows.from_dense(part, most) for part in parts])


@dataclass
class Unwrapped:
    """One network with its dictionaries and connectors, and what was measured."""

    network: Network
    digits: Digits
    dictionaries: list[TopKDictionary]
    connectors: list[Connector]
    snapshots: list[np.ndarray]
    measured: dict[str, Any]


@torch.no_grad()
def unwrap(digits: Digits, config: UnwrapConfig, seed: int) -> Unwrapped:
    """One seed, end to end."""
    with torch.enable_grad():
        network = train_network(digits, config.hidden, config.epochs, seed)
    many = digits.shifted()
    generator = torch.Generator().manual_seed(seed)
    many = many[torch.randperm(len(many), generator=generator)[:80_000]]
    hidden, test = network.hidden(many), network.hidden(digits.test)
    n_features = config.expansion * config.hidden
    dictionaries: list[TopKDictionary] = []
    measured: dict[str, Any] = {"seed": seed, "n_features": n_features}
    for layer, (h, k) in enumerate(zip(hidden, config.active, strict=True)):
        dictionaries.append(train_dictionary(h, n_features, k, config.sae_steps, seed))
        measured[f"sae_{layer + 1}"] = quality(dictionaries[-1], test[layer])
    untied = train_dictionary(hidden[0], n_features, config.active[0], config.sae_steps, seed, tied=False)
    measured["sae_1_untied"] = quality(untied, test[0])
    features = [encode_rows(d, h[:60_000]) for d, h in zip(dictionaries, hidden, strict=True)]
    snapshots: list[np.ndarray] = []
    options = ConnectorFit(
        l1=config.l1, edges_per_output=config.edges, steps=config.connector_steps, refit_steps=config.refit_steps,
        fit_batch_size=512,
    )  # fmt: skip
    per_epoch = max(1, (options.steps + options.refit_steps) // 8)

    def keep(step: int, loss: float, weight: Tensor) -> None:
        if step % per_epoch == 0:
            snapshots.append(weight[:96, :96].numpy().copy())

    readers: Any = list(network.layers)[2:]
    metrics = [as_read(d.vectors, reader) for d, reader in zip(dictionaries[1:], readers, strict=True)]
    first = fit_connector(features[0], features[1], options, metric=metrics[0], seed=seed, every_step=keep)
    written = rows_of(first, features[0])
    second = fit_connector(written, features[2], options, metric=metrics[1], seed=seed)
    out = Unwrapped(network, digits, dictionaries, [first, second], snapshots, measured)
    measured["cost_points_before_joint_fit"] = substitution(out, test).cost_points
    joint = RefitOptions(config.joint_steps, most=MOST_WRITTEN, seed=seed)
    out.connectors = refit_through(out.connectors, dictionaries, features, hidden, network.read_out, joint)
    measured |= to_json(substitution(out, test)) | starts(out, hidden, features, seed)
    return out


def accuracy(network: Network, h3: Float[Tensor, "image unit"], labels: Int[Tensor, " image"]) -> float:
    """Share of images classified right."""
    return float((network.read_out(h3).argmax(1) == labels).float().mean())


def substitution(unwrapped: Unwrapped, test: list[Tensor]) -> Substitution:
    """Accuracy of the network, of its last dictionary alone, and with layers 2 and 3 replaced."""
    network, dictionaries, labels = unwrapped.network, unwrapped.dictionaries, unwrapped.digits.test_labels
    last = dictionaries[2]
    first, second = unwrapped.connectors
    f2 = first.predictor()(encode_rows(dictionaries[0], test[0]))
    f3 = second.predictor()(FeatureRows.from_dense(f2, MOST_WRITTEN))
    plain = accuracy(network, test[2], labels)
    replaced = accuracy(network, last.decode(f3), labels)
    only_sae = accuracy(network, last.decode_rows(encode_rows(last, test[2])), labels)
    mean = accuracy(network, test[2].mean(0).expand_as(test[2]), labels)
    true_f2 = encode_rows(dictionaries[1], test[1])
    changed = network.read_out(test[2]).argmax(1) != network.read_out(last.decode(f3)).argmax(1)
    return Substitution(
        accuracy=plain,
        accuracy_replaced=replaced,
        accuracy_sae_3_only=only_sae,
        accuracy_mean_ablated=mean,
        cost_points=100 * (plain - replaced),
        changed_digits=float(changed.float().mean()),
        edges_per_output=tuple(connector.edges_per_output for connector in unwrapped.connectors),
        most_edges=max(int(connector.starts.diff().max()) for connector in unwrapped.connectors),
        connector_l0=(float((f2 > 0).float().sum(1).mean()), float((f3 > 0).float().sum(1).mean())),
        connector_mse=float((f2 - true_f2.dense()).square().mean()),
        connector_weight_l1=float(first.weights.abs().sum() / (first.n_inputs * first.n_outputs)),
    )


def starts(unwrapped: Unwrapped, hidden: list[Tensor], features: list[FeatureRows], seed: int) -> dict[str, float]:
    """[FC]'s comparison of starts: mean squared error plus L1, feature by feature, from analytic and random weights."""
    layer: Any = unwrapped.network.layers[1]
    start = analytic_start(layer, unwrapped.dictionaries[0], unwrapped.dictionaries[1], hidden[0][:4096])
    out: dict[str, float] = {}
    options = ConnectorFit(l1=0.001, edges_per_output=None, steps=250, refit_steps=0, fit_batch_size=512)
    for name, initial in (("analytic", start), ("random", None)):
        losses: list[float] = []
        fit_connector(
            features[0],
            features[1],
            options,
            initial=initial,
            seed=seed,
            every_step=lambda s, loss, w, to=losses: to.append(loss),
        )
        out |= {f"{name}_first_loss": float(np.mean(losses[:3])), f"{name}_last_loss": float(np.mean(losses[-20:]))}
    return out
