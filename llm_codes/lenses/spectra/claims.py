"""What [MK] says of alpha, judged; and what makes a number doubtful."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.claims import Claim, Verdict
from eval.measures.statistics.resampling import holm
from eval.verdicts import LEVEL, above, p_value, verdict_on
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra

THRESHOLD = -1.0
AT_LEAST = above(float(np.nextafter(THRESHOLD, -2.0)))
"""-1 itself counts as met."""
LARGE_SHARE = 0.5
FEW_TOKENS = 16


def claims(trained: Spectra, control: Spectra | None = None) -> list[Claim]:
    """[MK Fig. 7a]: alpha >= -1 at every depth (residual stream), which random weights must not show as well.

    `holds` where every layer's interval lies above -1 (a claim on all layers needs no correction); `fails` where one
    lies below after Holm's correction over the layers: the worst of 30 is below by chance alone.
    """
    kind = "resid_post" if trained.of_kind("resid_post") else trained.sites[0].kind
    statement = f"alpha >= -1 at every depth ({kind})"
    source = "MK section 2, Fig. 7a (GPT-2 XL)"
    found = _every_layer(trained, kind)
    beside = None if control is None else _every_layer(control, kind)
    controls = {} if beside is None else {"untrained, lowest layer": beside[0].alpha_corrected}
    if found is None:
        note = f"no site has a defined exponent: {trained.of_kind(kind)[0].alpha_corrected.reason}"
        words = (statement, source, "every interval above -1", None)
        return [Claim(*words, "cannot tell", note=note, controls=controls or None, units="exponent")]
    lowest, verdict, note, p = found
    uncorrected = verdict_on(lowest.alpha_corrected, AT_LEAST)
    if verdict == "holds":
        verdict = verdict_on(lowest.alpha_corrected, AT_LEAST, controls)
        if verdict == "cannot tell" and beside is not None and beside[1] == "holds":
            verdict = "holds, and so does its control"
        note += "" if controls else "; no control was measured"
    low, high = lowest.alpha_corrected.low, lowest.alpha_corrected.high
    interval = None if low is None or high is None else (low, high)
    n = sum(row.alpha_corrected.is_defined for row in trained.of_kind(kind))
    return [
        Claim(
            statement, source, "alpha >= -1, and clear of the untrained model's", lowest.alpha_corrected.value, verdict,
            interval, n=n, note=note, controls=controls or None, p=p, uncorrected=uncorrected, units="exponent",
        )
    ]  # fmt: skip


def _every_layer(found: Spectra, kind: str) -> tuple[SiteSpectrum, Verdict, str, float | None] | None:
    """The layer that contradicts the statement most, the verdict over all layers, in words, and Holm's p of the worst;
    `None` where no layer has an exponent."""
    rows = [row for row in found.of_kind(kind) if row.alpha_corrected.is_defined]
    if not rows:
        return None
    scores = [row.alpha_corrected for row in rows]
    lowest = min(rows, key=lambda row: row.alpha_corrected.value or 0.0)
    places = [verdict_on(score, AT_LEAST) for score in scores]
    p = holm(np.array([one if (one := p_value(score, AT_LEAST)) is not None else np.nan for score in scores]))
    below = [place == "fails" and one <= LEVEL for place, one in zip(places, p, strict=True)]
    held = [score.low is not None and score.low >= THRESHOLD for score in scores]
    verdict: Verdict = "fails" if any(below) else "holds" if all(held) else "cannot tell"
    note = (
        f"{sum(held)} of {len(rows)} layers wholly above -1, {places.count('fails')} wholly below, {sum(below)} of "
        f"them after Holm's correction over layers; lowest at {lowest.site}"
    )
    worst = p[rows.index(lowest)]
    return lowest, verdict, note, float(worst) if np.isfinite(worst) else None


def warnings(rows: Sequence[SiteSpectrum]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    out = []
    undefined = [row for row in rows if not row.alpha_corrected.is_defined]
    if undefined:
        reasons = "; ".join(dict.fromkeys(str(row.alpha_corrected.reason) for row in undefined))
        out.append(f"alpha_corrected is undefined at {len(undefined)} of {len(rows)} sites: {reasons}")
    thin = [row for row in rows if row.tokens_per_width < FEW_TOKENS]
    if thin:
        worst = min(thin, key=lambda row: row.tokens_per_width)
        out.append(
            f"{len(thin)} sites have fewer than {FEW_TOKENS} tokens per component (least: {worst.site}, "
            f"N/d = {worst.tokens_per_width:.1f}): the exponent as measured is biased there; read the corrected one, "
            "or read more text."
        )
    large = [row for row in rows if (row.top_direction_share or 0) > LARGE_SHARE]
    if large:
        worst = max(large, key=lambda row: row.top_direction_share or 0)
        out.append(
            f"One direction holds {worst.top_direction_share:.0%} of the variance at {worst.site} (more than "
            f"half at {len(large)} sites): participation ratio and effective rank describe mostly that direction there."
        )
    return out
