"""What training and evaluating dictionaries will need beyond the model, in bytes, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from eval.errors import UserError
from eval.progress import say
from llm_codes.activation_source import ActivationSource
from llm_codes.configs.saes import TrainingOptions
from llm_codes.corpus import Corpus
from llm_codes.harvest import GIGABYTE
from llm_codes.lenses.saes.cross_layer import CrossLayerPlace
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.training.specification import Spec
from llm_codes.models import Model


def training_bytes(
    source: ActivationSource, corpus: Corpus, specs: Sequence[Spec], options: TrainingOptions, batch_size: int
) -> int:
    """The block of activations (twice while it is shuffled), the text of calibration, each dictionary with gradient and
    two moments, one step's dense features (three times), one forward pass."""
    widths = {hook: width for spec in specs for hook, width in spec.places}
    rows = min(options.block_windows, len(corpus)) * corpus.context
    block = (2 * rows + min(rows, 16_384)) * sum(widths.values())
    parameters = sum(spec.n_weights for spec in specs)
    step = 3 * options.train_batch_size * max(len(spec.rows) * spec.n_features for spec in specs)
    return 4 * (block + 4 * parameters + step + source.numbers_alive(batch_size, corpus.context))


def evaluation_bytes(model: Model, corpus: Corpus, sae: SAEFolder | CrossLayerPlace, batch_size: int) -> int:
    """Four tables of next-token (log) probabilities, a batch of features (twice), one forward pass."""
    positions = batch_size * corpus.context
    forward = model.numbers_alive(batch_size, corpus.context)
    return 4 * (positions * (4 * model.vocabulary_size + 2 * sae.n_features) + forward)


def refuse_above(max_memory_gb: float | None, needed: int, label: str) -> None:
    """Say the prediction; nothing where no limit was given.

    Raises:
        UserError: more than the limit would be needed.
    """
    if max_memory_gb is None:
        return
    say(f"{label}: predicted peak memory beyond the model {needed / GIGABYTE:.2f} GB (limit {max_memory_gb:g} GB)")
    if needed > max_memory_gb * GIGABYTE:
        raise UserError(
            f"expected at most {max_memory_gb:g} GB beyond the model, {needed / GIGABYTE:.2f} GB would be needed; "
            "lower --batch-size, --block-windows or --width, or raise --max-memory-gb"
        )
