"""One activation scaled by 0..3 along its ray from the origin: where does the code change, and the predicted token?

Prediction 3 [Black et al. 2022]: a density peak between the activation and the origin; class changes far out despite
low density. The residual stream entering layer L is scaled at one position, the rest of the window is as it was; codes
are those of layer L's MLP and all later ones at that position. Counts are *sampled lower bounds*: differing bits
between neighbouring scales.

A pre-LayerNorm block normalises its input: scaling barely changes layer L's own code, and what changes comes from the
balance between the scaled stream and what later blocks add. Controls: Gaussian vectors with the mean and covariance of
the real activations, and the untrained network.

Axis glossary: ``ray`` activations, ``scale`` values of s, ``step`` between neighbouring scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap_mean, bootstrap_share
from eval.scores import Score
from llm_codes.attached import attached
from llm_codes.corpus import Corpus
from llm_codes.lenses.polytopes.samples import TokenSample
from llm_codes.models import Hook, Model
from llm_codes.sites import resolve_site

SCALES = np.linspace(0, 3, 25)


@dataclass(frozen=True)
class Rays:
    """density `[ray, step]` in bits per unit length (NaN where the activation is zero); changed `[ray, step]`: the most
    likely next token differs; document `[ray]`."""

    density: Float[np.ndarray, "ray step"]
    changed: Bool[np.ndarray, "ray step"]
    document: Int[np.ndarray, " ray"]

    def peak_before(self, seed: int = 0) -> Score:
        """Share of rays whose densest step lies strictly between the origin and the activation: 1/12 < s < 1 (the
        step at the origin itself is left out: normalisation amplifies any direction there)."""
        middle = (SCALES[:-1] + SCALES[1:]) / 2
        peak = middle[1:][np.nan_to_num(self.density[:, 1:], nan=-1.0).argmax(1)]
        return _over_documents((peak < 1).astype(float), self.document, seed)

    @property
    def _change_beyond(self) -> np.ndarray:
        return self.changed[:, SCALES[:-1] >= 1].any(1).astype(float)

    def changes_beyond(self, seed: int = 0) -> Score:
        """Share of rays on which the predicted token changes beyond s = 1."""
        return _over_documents(self._change_beyond, self.document, seed)

    def changes_above(self, control: Rays, seed: int = 0) -> Score:
        """`changes_beyond` minus that of a control on the same positions, ray for ray, in [-1, 1]."""
        if not np.array_equal(self.document, control.document):
            raise UserError("expected a control on the same rays; got other documents; scale both with one seed")
        values = self._change_beyond - control._change_beyond
        return _over_documents(values, self.document, seed, share=False)

    def sparser_beyond(self, seed: int = 0) -> Score:
        """log2 of the mean density at 1/12 < s < 1 over that at 1 < s < 3, mean over rays that have both: above 0 where
        boundaries are sparse beyond the activation."""
        beyond = SCALES[:-1] >= 1
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log2(self.density[:, 1:][:, ~beyond[1:]].mean(1) / self.density[:, beyond].mean(1))
        known = np.isfinite(ratio)
        if not known.any():
            return Score.undefined("no ray has boundaries on both sides of the activation", 0)
        return _over_documents(ratio[known], self.document[known], seed, share=False)


def _over_documents(values: np.ndarray, document: np.ndarray, seed: int, *, share: bool = True) -> Score:
    """Mean with an interval over documents; few rays mean few documents, so the bootstrap needs only ten."""
    names, place = np.unique(document, return_inverse=True)
    sizes = np.bincount(place).astype(float)
    mean = bootstrap_share if share else bootstrap_mean
    return mean(np.bincount(place, values) / sizes, sizes, minimum_groups=10, seed=seed)


def scale_rays(
    model: Model, corpus: Corpus, sample: TokenSample, layer: int, n_rays: int, *, noise: bool = False, seed: int = 0
) -> Rays:
    """Scale activations of `n_rays` windows of different documents (as far as there are) along their rays."""
    generator = np.random.default_rng(seed)
    _, first = np.unique(sample.document, return_index=True)
    order = np.concatenate([generator.permutation(first), generator.permutation(len(sample))])
    chosen = list(dict.fromkeys(int(item) for item in order))[:n_rays]
    stream = resolve_site(model, "resid_pre", layer)
    pre = [resolve_site(model, "mlp_pre", number) for number in range(layer, model.n_layers)]
    row_of = {int(window): row for row, window in enumerate(corpus.window)}
    samples = sample.values[stream.hook].astype(np.float64)
    density, changed = [], []
    for item in chosen:
        end = int(sample.position[item]) + 1
        tokens = torch.as_tensor(corpus.tokens[row_of[int(sample.window[item])], :end].copy())
        vector = _matched(samples, generator) if noise else None
        one = _ray(model, tokens.long(), stream.hook, [site.hook for site in pre], vector)
        density.append(one[0])
        changed.append(one[1])
    return Rays(np.array(density), np.array(changed), sample.document[chosen])


def _matched(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A Gaussian vector with the samples' mean and covariance."""
    mean = samples.mean(0)
    weights = generator.normal(size=len(samples)) / np.sqrt(max(1, len(samples) - 1))
    return mean + weights @ (samples - mean)


def last_logits(model: Model, tokens: torch.Tensor, count: int, hooks: list[Hook]) -> torch.Tensor:
    """Logits `[scale, vocabulary]` after the last token, in `count` copies of a window that differ there only: what
    stands before it is run once and its keys and values are shared (models without such a cache run whole windows)."""
    whole = getattr(model.bridge, "original_model", None)
    if whole is None or len(tokens) < 2:
        return model.logits(tokens[None].expand(count, -1), hooks)[:, -1]
    model.check_hooks([name for name, _ in hooks])
    tokens = tokens.to(model.device)
    before = whole(tokens[None, :-1], use_cache=True).past_key_values
    before.batch_repeat_interleave(count)
    with attached(model.bridge, model.hook_points, hooks):
        last = tokens[None, -1:].expand(count, -1)
        return model.bridge(last, past_key_values=before, use_cache=True, return_type="logits")[:, -1]


@torch.no_grad()
def _ray(
    model: Model, tokens: torch.Tensor, stream: str, pre: list[str], vector: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Density `[step]` and token changes `[step]` of one ray."""
    scales = torch.as_tensor(SCALES)
    seen: dict[str, torch.Tensor] = {}
    length = []

    def scaled(activation, hook):
        del hook
        base = activation[0, -1].double() if vector is None else torch.as_tensor(vector, device=activation.device)
        length.append(float(base.norm()))
        out = activation.clone()
        out[:, -1] = (scales.to(base.device)[:, None] * base).to(out.dtype)
        return out

    def keep(activation, hook, name):
        del hook
        seen[name] = activation[:, -1].float().cpu()

    hooks: list[Hook] = [(stream, scaled), *((name, lambda a, hook, name=name: keep(a, hook, name)) for name in pre)]
    logits = last_logits(model, tokens, len(scales), hooks)
    bits = torch.cat([seen[name] for name in pre], dim=1).numpy() > 0
    step = length[0] * (SCALES[1] - SCALES[0])
    flips = (bits[1:] != bits[:-1]).sum(1)
    best = logits.argmax(-1).cpu().numpy()
    return (flips / step if step > 0 else np.full(len(flips), np.nan)), best[1:] != best[:-1]
