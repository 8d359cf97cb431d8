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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit import ConnectorFit, fit_connector
from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows
from eval.measures.dictionaries.feature_rows import FeatureRows
from eval.pieces import Arrays, Pieces
from vision_codes.configs.unwrap import UnwrapConfig
from vision_codes.lenses.unwrap.connecting import MOST_WRITTEN, as_read, rows_of, starts
from vision_codes.lenses.unwrap.dictionaries import quality, train_dictionary
from vision_codes.lenses.unwrap.digits import Digits
from vision_codes.lenses.unwrap.network import Network, accuracy, fresh_network, train_network
from vision_codes.lenses.unwrap.refit import RefitOptions, refit_through
from vision_codes.lenses.unwrap.results import DictionaryQuality, SeedResult, Starts, Substitution

STUDY = (__name__,)
LAYERS = (0, 1, 2)
DICTIONARY_IMAGES, CONNECTOR_IMAGES = 80_000, 60_000
N_SNAPSHOTS, SNAPSHOT_SIDE = 8, 96
Nothing = Mapping[str, str]
TENSORS = {
    TopKDictionary: ("encoder", "encoder_bias", "decoder", "decoder_bias", "input_bias"),
    Connector: ("starts", "inputs", "weights", "bias"),
}


@dataclass
class Unwrapped:
    """One network with its dictionaries and connectors, and what was measured.

    snapshots: the first connector's weights (a corner of 96 x 96) after each eighth of its training.
    """

    network: Network
    digits: Digits
    dictionaries: list[TopKDictionary]
    connectors: list[Connector]
    snapshots: list[np.ndarray]
    measured: SeedResult


@torch.no_grad()
def unwrap(digits: Digits, config: UnwrapConfig, seed: int, pieces: Pieces | None = None) -> Unwrapped:
    """One seed, end to end; finished pieces are kept where `pieces` says (None: nowhere)."""
    work = _Seed(digits, config, seed, pieces or Pieces())
    network = work.network()
    shifted = work.shifted()
    hidden, test = network.hidden(shifted), network.hidden(digits.test)
    dictionaries = [work.dictionary(hidden[layer], layer) for layer in LAYERS]
    untied = work.dictionary(hidden[0], 0, tied=False)
    features = [encode_rows(d, h[:CONNECTOR_IMAGES]) for d, h in zip(dictionaries, hidden, strict=True)]
    connectors, snapshots = work.connectors(network, dictionaries, features)
    before = substitution(network, digits, dictionaries, connectors, test)
    connectors = work.refitted(connectors, dictionaries, features, hidden, network)
    layer: Any = network.layers[1]
    compared = work.pieces.item("starts", Starts, lambda: starts(layer, dictionaries, hidden[0], features, seed))
    qualities = {f"sae_{layer + 1}": quality(dictionaries[layer], test[layer]) for layer in LAYERS}
    qualities |= work.before_training(shifted)
    measured = SeedResult(
        seed=seed,
        n_features=work.n_features,
        **qualities,
        sae_1_untied=quality(untied, test[0]),
        cost_points_before_joint_fit=before.cost_points,
        substitution=substitution(network, digits, dictionaries, connectors, test),
        starts=compared,
    )
    return Unwrapped(network, digits, dictionaries, connectors, snapshots, measured)


@dataclass
class _Seed:
    """The pieces of one seed, each trained once."""

    digits: Digits
    config: UnwrapConfig
    seed: int
    pieces: Pieces

    def __post_init__(self) -> None:
        self.n_features = self.config.expansion * self.config.hidden

    def kept(self, name: str, compute: Callable[[], Arrays]) -> dict[str, Any]:
        """The tensors of a finished piece."""
        arrays = self.pieces.with_arrays(name, Nothing, lambda: ({}, compute()))[1]
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    def network(self) -> Network:
        config, digits = self.config, self.digits

        def trained() -> Arrays:
            with torch.enable_grad():
                state = train_network(digits, config.hidden, config.epochs, self.seed).state_dict()
            return {name: value.numpy() for name, value in state.items()}

        network = Network(digits.train.shape[1], config.hidden, int(digits.train_labels.max()) + 1)
        network.load_state_dict(self.kept("network", trained))
        return network.eval().requires_grad_(False)

    def shifted(self) -> Tensor:
        """The images that dictionaries and connectors are trained on."""
        many = self.digits.shifted()
        generator = torch.Generator().manual_seed(self.seed)
        return many[torch.randperm(len(many), generator=generator)[:DICTIONARY_IMAGES]]

    def dictionary(self, hidden: Tensor, layer: int, *, tied: bool = True, of: str = "") -> TopKDictionary:
        k, steps = self.config.active[layer], self.config.sae_steps
        name = f"dictionary-{layer + 1}{'' if tied else '-untied'}{of}"
        tensors = self.kept(
            name, lambda: arrays_of(train_dictionary(hidden, self.n_features, k, steps, self.seed, tied=tied))
        )
        return TopKDictionary(**tensors, k=k)

    def before_training(self, images: Tensor) -> dict[str, DictionaryQuality]:
        """Dictionaries of the first hidden layer, tied and untied, of the network as it started."""
        network = fresh_network(self.digits, self.config.hidden, self.seed).requires_grad_(False)
        hidden, test = network.layers[0](images).relu(), network.layers[0](self.digits.test).relu()
        return {
            f"sae_1{word}_before_training": quality(self.dictionary(hidden, 0, tied=tied, of="-before-training"), test)
            for word, tied in (("", True), ("_untied", False))
        }

    def connectors(
        self, network: Network, dictionaries: list[TopKDictionary], features: list[FeatureRows]
    ) -> tuple[list[Connector], list[np.ndarray]]:
        """F1 -> F2 and F2 -> F3, the second fitted on what the first one writes; and the first one's snapshots."""
        config = self.config
        options = ConnectorFit(
            l1=config.l1, edges_per_output=config.edges, steps=config.connector_steps, refit_steps=config.refit_steps,
            fit_batch_size=512,
        )  # fmt: skip
        readers: Any = list(network.layers)[2:]
        metrics = [as_read(d.vectors, reader) for d, reader in zip(dictionaries[1:], readers, strict=True)]

        def fitted(before: FeatureRows, number: int) -> Arrays:
            keep = _Snapshots(max(1, (options.steps + options.refit_steps) // N_SNAPSHOTS))
            found = fit_connector(
                before, features[number], options, metric=metrics[number - 1], seed=self.seed, every_step=keep
            )
            return arrays_of(found) | {"snapshots": np.stack(keep.taken)}

        first = self.kept("connector-1", lambda: fitted(features[0], 1))
        snapshots = list(first.pop("snapshots").numpy())
        connectors = [self._connector(first)]
        second = self.kept("connector-2", lambda: fitted(rows_of(connectors[0], features[0]), 2))
        return [*connectors, self._connector(second)], snapshots

    def refitted(
        self,
        connectors: list[Connector],
        dictionaries: list[TopKDictionary],
        features: list[FeatureRows],
        hidden: list[Tensor],
        network: Network,
    ) -> list[Connector]:
        """Both connectors with their kept weights fitted once more, together."""

        def joint() -> Arrays:
            options = RefitOptions(self.config.joint_steps, most=MOST_WRITTEN, seed=self.seed)
            found = refit_through(connectors, dictionaries, features, hidden, network.read_out, options)
            return {f"{i}/{name}": array for i, one in enumerate(found) for name, array in arrays_of(one).items()}

        tensors = self.kept("joint-fit", joint)
        return [self._connector({name: tensors[f"{i}/{name}"] for name in TENSORS[Connector]}) for i in (0, 1)]

    def _connector(self, tensors: Mapping[str, Any]) -> Connector:
        return Connector(**{name: tensors[name] for name in TENSORS[Connector]}, n_inputs=self.n_features)


class _Snapshots:
    """Keeps a corner of the weights every so many steps."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.taken: list[np.ndarray] = []

    def __call__(self, step: int, loss: float, weight: Tensor) -> None:
        if step % self.every == 0:
            self.taken.append(weight[:SNAPSHOT_SIDE, :SNAPSHOT_SIDE].numpy().copy())


def arrays_of(found: TopKDictionary | Connector) -> Arrays:
    """The tensors of a dictionary or connector, by field."""
    return {name: getattr(found, name).numpy() for name in TENSORS[type(found)]}


def substitution(
    network: Network,
    digits: Digits,
    dictionaries: list[TopKDictionary],
    connectors: list[Connector],
    test: list[Tensor],
) -> Substitution:
    """Accuracy of the network, of its last dictionary alone, and with layers 2 and 3 replaced; `test`: h1, h2, h3."""
    labels = digits.test_labels
    last = dictionaries[2]
    first, second = connectors
    f2 = first.predictor()(encode_rows(dictionaries[0], test[0]))
    f3 = second.predictor()(FeatureRows.from_dense(f2, MOST_WRITTEN))
    plain = accuracy(network, test[2], labels)
    replaced = accuracy(network, last.decode(f3), labels)
    only_sae = accuracy(network, last.decode_rows(encode_rows(last, test[2])), labels)
    mean = accuracy(network, test[2].mean(0).expand_as(test[2]), labels)
    true_f2 = encode_rows(dictionaries[1], test[1]).dense()
    changed = network.read_out(test[2]).argmax(1) != network.read_out(last.decode(f3)).argmax(1)
    return Substitution(
        accuracy=plain,
        accuracy_replaced=replaced,
        accuracy_sae_3_only=only_sae,
        accuracy_mean_ablated=mean,
        cost_points=100 * (plain - replaced),
        changed_digits=float(changed.float().mean()),
        edges_per_output=tuple(connector.edges_per_output for connector in connectors),
        most_edges=max(int(connector.starts.diff().max()) for connector in connectors),
        connector_l0=(float((f2 > 0).float().sum(1).mean()), float((f3 > 0).float().sum(1).mean())),
        connector_mse=float((f2 - true_f2).square().mean()),
        mean_features_mse=float((true_f2.mean(0) - true_f2).square().mean()),
        connector_weight_l1=float(first.weights.abs().sum() / (first.n_inputs * first.n_outputs)),
    )
