"""Patched features against hand-made writes, and estimates against small changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llm_codes.lenses.graphs.transcoders import LayerTranscoder
from llm_codes.lenses.patching.features import (
    estimates,
    feature_changes,
    features_of_pair,
    patched_features,
    strongest_changes,
)
from llm_codes.lenses.patching.pairs import Pair
from llm_codes.models import Model
from llm_codes.sites import resolve_site
from tests.llm_codes.lenses.graphs.conftest import both, gpt2_like, llama_like

__all__ = ["both", "gpt2_like", "llama_like"]
PAIR = Pair("", (0, 17, 45, 300, 8), (0, 17, 46, 300, 8), 9, 12, 0)


def difference(logits: torch.Tensor) -> torch.Tensor:
    return logits[..., 9] - logits[..., 12]


def test_one_feature_is_its_decoder_row_times_its_change(both: list[tuple[Model, tuple[LayerTranscoder, ...]]]) -> None:
    for model, transcoders in both:
        clean, corrupted = feature_changes(model, transcoders, PAIR)
        change = clean - corrupted
        assert not bool(change[:, :2].any()), "nothing before the changed word"
        layer, position, feature = next(place for place in change.nonzero().tolist() if place[0] == 1)
        write = change[layer, position, feature] * transcoders[layer].decoder[feature]

        def add(value: torch.Tensor, hook: Any, position: int = position, write: Any = write) -> torch.Tensor:
            out = value.clone()
            out[:, position] += write
            return out

        hook = resolve_site(model, "mlp_out", layer).hook
        expected = model.logits(torch.tensor([PAIR.corrupted]), [(hook, add)])[0, -1].detach()
        place = torch.tensor([[layer, position, feature]])
        found = patched_features(model, transcoders, PAIR.corrupted, [place], clean)[0]
        assert torch.allclose(found, expected)


def test_all_features_together_have_their_clean_values(both: list[tuple[Model, tuple[LayerTranscoder, ...]]]) -> None:
    """Also those of the upper layer, which by then no longer have the corrupted ones."""
    model, transcoders = both[0]
    clean, corrupted = feature_changes(model, transcoders, PAIR)
    seen: list[torch.Tensor] = []
    places = (clean - corrupted).nonzero()
    into, out = (resolve_site(model, kind, 1).hook for kind in ("mlp_in", "mlp_out"))
    usual = model.logits

    def watched(tokens: Any, hooks: Any = ()) -> torch.Tensor:
        return usual(tokens, [*hooks, (into, lambda v, hook: seen.append(v)), (out, lambda v, hook: seen.append(v))])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "logits", lambda self, *given: watched(*given))
        patched_features(model, transcoders, PAIR.corrupted, [places], clean)
    now = transcoders[1].active(seen[0][0])
    reached = usual(torch.tensor([PAIR.corrupted]), [(into, lambda v, hook: seen[0])])
    assert reached is not None and not torch.allclose(now[1:], corrupted[1, 1:])
    bare: list[torch.Tensor] = []
    usual(torch.tensor([PAIR.corrupted]), [(into, lambda v, hook: seen[0]), (out, lambda v, hook: bare.append(v))])
    moved = (seen[1] - bare[0])[0]
    chosen = torch.zeros_like(now)
    row = places[places[:, 0] == 1]
    chosen[row[:, 1], row[:, 2]] = (clean[1] - now)[row[:, 1], row[:, 2]]
    assert torch.allclose(moved, chosen @ transcoders[1].decoder, atol=1e-9)


def test_estimates_are_small_changes(both: list[tuple[Model, tuple[LayerTranscoder, ...]]]) -> None:
    for model, transcoders in both:
        clean, corrupted = feature_changes(model, transcoders, PAIR)
        change = clean - corrupted
        found = estimates(model, transcoders, PAIR, change)
        best = strongest_changes(found, 6)
        assert found.abs().max() == found[tuple(best[0])].abs()
        step = 1e-3  # norms of some models compute in float32
        moved = patched_features(
            model, transcoders, PAIR.corrupted, [best[:0], *best[:, None]], corrupted + step * change
        )
        slopes = (difference(moved[1:]) - difference(moved[0])) / step
        assert torch.allclose(slopes, found[tuple(best.T)], rtol=1e-2, atol=1e-3)


def test_what_features_restore_is_in_shares_of_the_pair(both: list[tuple[Model, tuple[LayerTranscoder, ...]]]) -> None:
    model, transcoders = both[0]
    clean, corrupted = (
        float(difference(model.logits(torch.tensor([one]))[0, -1]).detach()) for one in (PAIR.clean, PAIR.corrupted)
    )
    rows, sets = features_of_pair(model, transcoders, PAIR, (clean, corrupted), 3, 7, 0, 8)
    assert len(rows) == 3 and {row.pair for row in rows} == {7}
    first = rows[0]
    place = torch.tensor([[first.layer, first.position, first.feature]])
    values = feature_changes(model, transcoders, PAIR)[0]
    logits = patched_features(
        model,
        transcoders,
        PAIR.corrupted,
        [place, torch.tensor([[r.layer, r.position, r.feature] for r in rows])],
        values,
    )
    shares = ((difference(logits) - corrupted) / (clean - corrupted)).tolist()
    assert [first.restored, sets.strongest] == pytest.approx(shares)
    assert sets.changed == int((values - feature_changes(model, transcoders, PAIR)[1] != 0).sum())
