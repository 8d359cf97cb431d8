"""Records to Weights & Biases, only where a project is named. The package is imported nowhere else and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from eval.errors import UserError
from eval.processes import is_main_process

Log = Callable[..., None]  # log(record) or log(record, step=n)


@contextmanager
def wandb_log(project: str, config: Mapping[str, Any]) -> Iterator[Log]:
    """A function that logs one record (and its `step`) to the project; it does nothing for an empty project or in a
    process that is not the main one. The run is opened before anything is computed and finished at the end.

    Raises:
        UserError: the package is not installed, or Weights & Biases refuses (no login, no network, a bad name).
    """
    if not project or not is_main_process():
        yield lambda record, step=None: None
        return
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "expected the package wandb for --wandb; it is not installed; pip install neural-codes[wandb]"
        ) from error
    try:
        run = wandb.init(project=project, config=dict(config))
    except wandb.Error as error:
        line = " ".join(str(error).split())
        raise UserError(
            f"expected to log to Weights & Biases for --wandb; got {line}; run `wandb login` or set WANDB_MODE=offline"
        ) from error
    try:
        yield lambda record, step=None: run.log(dict(record), step=step)
    finally:
        run.finish()
