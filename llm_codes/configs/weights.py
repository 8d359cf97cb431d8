"""Options of weights between features over a corpus, and the configuration of `circuit weights`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class WeightsOptions(Options):
    """Which features get weights to features below them, how many, and what they are fitted and tested on."""

    targets: int = option(300, "features whose inputs are asked for, drawn over all layers but the lowest", at_least=1)
    edges_per_feature: int = option(32, "weights of each target, by every method", at_least=1)
    candidates: int = option(96, "inputs screened for each target by correlation, as many by co-activation", at_least=1)
    fit_tokens: int = option(20_000, "tokens of training documents to screen and fit on", at_least=1)
    ridge: float = option(1e-3, "added to the moments, in units of each input's variance", at_least=0)
    pull: float = option(1.0, "the same towards virtual weights, for the connector that is drawn to them", at_least=0)
    windows_tested: int = option(60, "held-out windows for interventions, each of another document", at_least=1)
    per_window: int = option(6, "occurrences of targets tested in each of them", at_least=1)

    def validate(self) -> None:
        if self.edges_per_feature > self.candidates:
            raise UserError(
                f"expected --edges-per-feature of at most --candidates ({self.candidates}); got "
                f"{self.edges_per_feature}; raise --candidates"
            )


@dataclass(frozen=True, kw_only=True)
class CircuitWeightsConfig(RunConfig):
    """Sparse weights between the features of all layers that hold over a corpus: a connector beside virtual weights,
    by interventions in the real model and by held-out prediction."""

    transcoders: str = option("", "folder with a transcoder for each layer (default: those of the embedded model)")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=10_000, context=64))
    weights: WeightsOptions = nested(WeightsOptions())
