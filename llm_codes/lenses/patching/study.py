"""Where does the answer sit, and how does it travel? Every pair patched at every site, head, path and some features.

# 1 record    clean and corrupted runs of the pair, and of a pair of another document
# 2 sites     the corrupted prompt with one clean activation, and with the other pair's
# 3 paths     the clean prompt with one corrupted path, and with the other pair's difference
# 4 features  those with the largest estimates one by one, and together beside random ones
# 5 control   the untrained network on the same pairs, with tokens of its own
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.options import chosen
from eval.pieces import Pieces
from llm_codes.configs.patching import PatchingOptions
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders, reason_without_transcoders
from llm_codes.lenses.patching.activations import SITES, Grid, head_grid, logit_difference, site_grids, site_hooks
from llm_codes.lenses.patching.features import features_of_pair
from llm_codes.lenses.patching.pairs import Pair, own_tokens, read_pairs
from llm_codes.lenses.patching.paths import (
    PATHS,
    check_heads,
    check_stream,
    path_grid,
    path_hooks,
    path_nodes,
    write_changes,
)
from llm_codes.lenses.patching.places import places_of, positions_of
from llm_codes.lenses.patching.rows import PatchedGrid, PatchedPair, PatchingResults, Values
from llm_codes.lenses.patching.swaps import Recorded, Swap, recorded, swapped_logits
from llm_codes.lenses.patching.together import results_together
from llm_codes.models import Model, load_model, untrained_like

Runs = tuple[Recorded, Recorded]
ROWS = 8  # interventions in a pass for each window of a batch: prompts are short beside windows
NO_DROP = 1e-6  # of the untrained network: what its tokens are told apart by has no size of its own


def activation_patching(
    model: Any,
    pairs: str | Path | Sequence[Pair],
    transcoders: Any = None,
    options: PatchingOptions | None = None,
    *,
    control: bool = True,
    batch_size: int = 16,
    seed: int = 0,
    pieces: Pieces = Pieces(),  # noqa: B008 (frozen)
    **changes: Any,
) -> PatchingResults:
    """What does one clean activation bring back in a corrupted prompt, and which paths carry it?

        found = activation_patching("embedded", "pairs.jsonl", paths="heads")
        found.to_frame()

    Args:
        model: a `Model`, or what `load_model` opens. pairs: a JSONL file (`read_pairs`), or pairs (`make_pairs`).
        transcoders: see `open_transcoders`; without any that fit, features are left out with the reason.
        options, changes: the command's, or single ones by name. control: the untrained network as well.
        pieces: where finished pairs are kept.

    Raises:
        UserError: no pairs; some that are none, or that the corruption hardly moves; blocks without paths to read.
    """
    asked = chosen(PatchingOptions, options, changes)
    model = load_model(model)
    given = read_pairs(pairs, model) if isinstance(pairs, (str, Path)) else list(pairs)
    if not given:
        raise UserError(
            "expected pairs of prompts; got none: no word of any prompt had another to change to; read more text"
        )
    opened, reason = open_or_reason(model, transcoders, asked)
    found = patched_pairs(model, given, opened, asked, batch_size, seed, pieces)
    if all(one.reason for one in found):
        raise UserError(
            f"expected pairs whose corruption lowers the logit difference by {asked.least_drop:g}; got none of "
            f"{len(found)}; lower --least-drop, or change a word that matters"
        )
    beside: list[PatchedPair] = []
    if control:
        fresh = untrained_like(model, seed)
        settings = replace(asked, least_drop=NO_DROP)
        own = own_tokens(fresh, given)
        beside = patched_pairs(fresh, own, (), settings, batch_size, seed, pieces.below("untrained-"), null=False)
    return results_together(found, beside, given, places_of(given), asked.features, reason, seed)


def memory_bytes(model: Model, pairs: Sequence[Pair], batch_size: int) -> int:
    """Logits of one pass of interventions, twice, and what is kept of three runs at every site, in float32."""
    longest = max((len(pair.clean) for pair in pairs), default=0)
    kept = 3 * longest * model.n_layers * (len(SITES) + 1) * model.d_model
    return 4 * (2 * batch_size * ROWS * longest * model.vocabulary_size + kept)


def open_or_reason(
    model: Model, transcoders: Any, options: PatchingOptions
) -> tuple[tuple[LayerTranscoder, ...], str | None]:
    """The transcoders whose features are patched, or why there are none."""
    if not options.features:
        return (), "none were asked for"
    if not transcoders and (reason := reason_without_transcoders(model)):
        return (), reason
    return open_transcoders(model, transcoders), None


def patched_pairs(
    model: Model,
    pairs: Sequence[Pair],
    transcoders: Sequence[LayerTranscoder],
    options: PatchingOptions,
    batch_size: int = 16,
    seed: int = 0,
    pieces: Pieces = Pieces(),  # noqa: B008 (frozen)
    *,
    null: bool = True,
) -> list[PatchedPair]:
    """`patched_pair` of every pair, each a piece. null: with the activations of another document's pair as well."""
    places = places_of(pairs)
    donors = _donors(pairs, seed) if null else [None] * len(pairs)
    computations = {
        f"pair-{number}": partial(
            patched_pair, model, pair, donor, transcoders, places, options, batch_size, number=number, seed=seed
        )
        for number, (pair, donor) in enumerate(zip(pairs, donors, strict=True))
    }
    return pieces.items(PatchedPair, computations)


def _donors(pairs: Sequence[Pair], seed: int) -> list[Pair | None]:
    """A pair of another document for each, none where all are of one."""
    generator = np.random.default_rng(seed)
    out: list[Pair | None] = []
    for pair in pairs:
        others = [one for one in pairs if one.document != pair.document]
        out.append(others[int(generator.integers(len(others)))] if others else None)
    return out


def patched_pair(
    model: Model,
    pair: Pair,
    donor: Pair | None,
    transcoders: Sequence[LayerTranscoder],
    places: Sequence[str],
    options: PatchingOptions,
    batch_size: int = 16,
    *,
    number: int = 0,
    seed: int = 0,
) -> PatchedPair:
    """Everything that is patched of one pair. donor: a pair of another document; without one there is no null."""
    hooks = [*site_hooks(model), *(path_hooks(model) if options.paths != "none" else ())]
    own = _runs(model, pair, hooks)
    clean, corrupted = (float(logit_difference(run.logits, pair)) for run in own)
    if clean - corrupted < options.least_drop:
        words = f"the corruption lowers the logit difference by {clean - corrupted:.2g}"
        return PatchedPair(clean, corrupted, reason=words)
    sources = [(pair, own), *([] if donor is None else [(donor, _runs(model, donor, hooks))])]
    asked = [_grids(model, pair, source, own[0], runs, places, options) for source, runs in sources]
    found = _measured(model, pair, [grid for grids in asked for grid in grids], (clean, corrupted), batch_size)
    count = len(asked[0])
    tables = [_joined(found[table::count]) for table in range(count)]
    if not transcoders:
        return PatchedPair(clean, corrupted, tuple(tables))
    ends = (clean, corrupted)
    features, sets = features_of_pair(model, transcoders, pair, ends, options.features, number, seed, batch_size)
    return PatchedPair(clean, corrupted, tuple(tables), features, sets)


def _runs(model: Model, pair: Pair, hooks: Sequence[str]) -> Runs:
    return recorded(model, pair.clean, hooks), recorded(model, pair.corrupted, hooks)


def _grids(
    model: Model,
    pair: Pair,
    source: Pair,
    clean: Recorded,
    runs: Runs,
    places: Sequence[str],
    options: PatchingOptions,
) -> list[Grid]:
    """Tables of interventions, with the activations of a pair: its own, or another one."""
    grids = site_grids(model, runs[0], places, positions_of(pair, places), positions_of(source, places))
    grids.append(head_grid(model, runs[0], len(pair.clean)))
    if options.paths == "none":
        return grids
    check_stream(model, clean)
    heads = options.paths == "heads"
    if heads:
        check_heads(model, *runs)
    changes = {node.name: write_changes(model, *runs, node) for node in path_nodes(model, heads)[:-1]}
    return [*grids, path_grid(model, clean, changes, heads)]


def _measured(
    model: Model, pair: Pair, grids: Sequence[Grid], ends: tuple[float, float], batch_size: int
) -> list[PatchedGrid]:
    """Every intervention of the tables: sites in the corrupted prompt, paths in the clean one, where what they take
    away counts."""
    values: dict[bool, Iterator[float]] = {}
    for is_path, tokens in ((False, pair.corrupted), (True, pair.clean)):
        asked = [swaps for grid in grids if (grid.part == PATHS) == is_path for swaps in _all(grid)]
        if asked:
            logits = swapped_logits(model, tokens, asked, ROWS * batch_size)
            shares = ((logit_difference(logits, pair).double() - ends[1]) / (ends[0] - ends[1])).tolist()
            values[is_path] = iter([1 - one for one in shares] if is_path else shares)
    out = []
    for grid in grids:
        own = values[grid.part == PATHS]
        table = tuple(tuple(None if swaps is None else next(own) for swaps in row) for row in grid.swaps)
        out.append(PatchedGrid(grid.part, grid.up, grid.across, table, ()))
    return out


def _all(grid: Grid) -> list[tuple[Swap, ...]]:
    return [swaps for row in grid.swaps for swaps in row if swaps is not None]


def _joined(grids: Sequence[PatchedGrid]) -> PatchedGrid:
    """The pair's own table and its null beside it."""
    nothing: Values = tuple((None,) * len(row) for row in grids[0].restored)
    return replace(grids[0], other_pair=grids[1].restored if len(grids) > 1 else nothing)
