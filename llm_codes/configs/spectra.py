"""Configurations of `sites` and `spectra`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import (
    ACTIVATIONS_HELP,
    LAYERS_HELP,
    MODEL_HELP,
    SITES_HELP,
    InputsOptions,
    WindowsOptions,
)


@dataclass(frozen=True, kw_only=True)
class SitesConfig(Options):
    """List every site of a model: canonical hook name, meaning, width."""

    model: str = option("embedded", MODEL_HELP)
    device: str = option("cpu", "torch device: cpu, cuda, cuda:1, mps", kind="device")
    threads: int = option(0, "CPU threads (0: all usable cores)", at_least=0)


@dataclass(frozen=True, kw_only=True)
class SpectraOptions(Options):
    """Which spectra are taken, and over which eigenvalues the exponent is fitted."""

    sites: tuple[str, ...] = option(("resid_post", "mlp_post"), SITES_HELP)
    layers: str = option(":", LAYERS_HELP, kind="layers")
    fit_first: int = option(10, "first eigenvalue index of the fit, 1-based", at_least=1)
    fit_last: int = option(50, "last eigenvalue index of the fit, inclusive", at_least=2)
    with_position_0: bool = option(False, "also report every number with the left-out positions put back")

    @property
    def index_range(self) -> tuple[int, int]:
        return self.fit_first, self.fit_last

    def validate(self) -> None:
        if self.fit_last <= self.fit_first:
            raise UserError(
                f"expected --fit-last above --fit-first {self.fit_first}; got {self.fit_last}; widen the range"
            )


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(RunConfig):
    """Eigenspectra of the activation covariance and the power-law exponent alpha by depth."""

    inputs: InputsOptions = nested(InputsOptions())
    windows: WindowsOptions = nested(WindowsOptions())
    spectra: SpectraOptions = nested(SpectraOptions())
    activations: str = option("", ACTIVATIONS_HELP)
    control: bool = option(True, "also measure the same architecture untrained")
