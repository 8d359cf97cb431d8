"""Where the supernodes of a run come from: a file, or a suggestion from text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.errors import UserError
from eval.run_identity import short_hash
from eval.runs import Run
from llm_codes.configs.graphs import CircuitGraphConfig
from llm_codes.corpus import load_corpus
from llm_codes.lenses.graphs.rows import AttributionGraph
from llm_codes.lenses.graphs.supernodes.files import read_supernodes, supernodes_of
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.graphs.supernodes.suggested import suggest_supernodes
from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.models import Model

Supernodes = Callable[[AttributionGraph, str], GraphSupernodes]
WINDOW = 64  # tokens of the windows of text that features are watched on


def supernodes_as_asked(
    config: CircuitGraphConfig, model: Model, transcoders: Sequence[LayerTranscoder], names: Sequence[str], run: Run
) -> Supernodes | None:
    """The supernodes of a graph by its name: those of a file, or suggested ones; none where none are asked for.

    Raises:
        UserError: a file that cannot be read, or that names a graph which the run does not make.
    """
    asked = config.groups
    if asked.supernodes:
        given = read_supernodes(asked.supernodes)
        unknown = [name for name in given if name not in names]
        if unknown:
            raise UserError(
                f"expected supernodes of {', '.join(names)}; got {unknown[0]!r}; give the prompts of the run that "
                f"wrote {asked.supernodes}"
            )
        run.inputs(supernodes=short_hash(given))
        return lambda graph, name: supernodes_of(given, graph, name)
    if not asked.supernode_features:
        return None
    context = min(WINDOW, model.context)
    corpus = load_corpus(
        asked.supernode_corpus, model, context=context, n_tokens=asked.supernode_tokens, seed=config.seed
    )
    run.inputs(supernode_corpus=str(corpus.describe()["sha256_of_tokens"]))
    opened = tuple(transcoders)
    return lambda graph, name: suggest_supernodes(model, graph, corpus, opened, asked, name=name, seed=config.seed)
