"""Configuration of `harvest`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import LAYERS_HELP, SITES_HELP, InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class StoreOptions(Options):
    """What is stored, in which precision, and how much at most."""

    sites: tuple[str, ...] = option(("resid_post",), SITES_HELP)
    layers: str = option(":", LAYERS_HELP, kind="layers")
    store_dtype: str = option(
        "auto",
        "dtype on disk; auto: bfloat16 for weights in bfloat16, float32 for others",
        choices=("auto", "float32", "bfloat16"),
    )
    shard_mb: float = option(512.0, "size of a shard; one is held in memory, and lost by a kill", above=0)
    max_store_gb: float | None = option(
        50.0, "refuse to start where the store would be larger (none: as the disk has room)", above=0, identity=False
    )


@dataclass(frozen=True, kw_only=True)
class HarvestConfig(RunConfig):
    """Write a model's activations to a store, for `--activations`: sharded safetensors with tokens and identity."""

    out: str = option("", "run folder: the store itself; leave it out", identity=False)
    store: str = option(help="folder of the store; the same command continues there", identity=False)
    untrained: bool = option(False, "of the model's untrained copy (weights drawn by --seed): a control")
    inputs: InputsOptions = nested(InputsOptions(exclude_positions=0))
    windows: WindowsOptions = nested(WindowsOptions())
    storing: StoreOptions = nested(StoreOptions())

    def validate(self) -> None:
        if self.out not in ("", self.store):
            raise UserError(f"expected --out to be the store, {self.store}; got {self.out}; leave it out")
        if self.inputs.exclude_positions:
            raise UserError(
                f"expected --exclude-positions 0: a store keeps every position; got {self.inputs.exclude_positions}; "
                "leave positions out where it is read"
            )
        object.__setattr__(self, "out", self.store)
