"""What [MK] says of alpha, judged; and what makes a number doubtful."""

from __future__ import annotations

from collections.abc import Sequence

from eval.claims import Claim
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra

LARGE_SHARE = 0.5
FEW_TOKENS = 16


def claims(trained: Spectra) -> list[Claim]:
    """[MK Fig. 7a]: alpha >= -1 at every depth (residual stream). Judged on the layer that contradicts it most."""
    kind = "resid_post" if trained.of_kind("resid_post") else trained.sites[0].kind
    rows = [(row, row.alpha_corrected.value) for row in trained.of_kind(kind)]
    defined = [(row, value) for row, value in rows if value is not None]
    statement = f"alpha >= -1 at every depth ({kind})"
    source = "MK section 2, Fig. 7a (GPT-2 XL)"
    if not defined:
        note = f"no site has a defined exponent: {rows[0][0].alpha_corrected.reason}"
        return [Claim(statement, source, "every interval above -1", None, "cannot tell", note=note)]
    lowest, measured = min(defined, key=lambda pair: pair[1])
    intervals = [(row.alpha_corrected.low, row.alpha_corrected.high) for row, _ in defined]
    below = [1 for _, high in intervals if high is not None and high < -1]
    above = [1 for low, _ in intervals if low is not None and low >= -1]
    verdict = "fails" if below else "holds" if len(above) == len(defined) else "cannot tell"
    note = f"{len(above)} of {len(defined)} layers wholly above -1, {len(below)} wholly below; lowest at {lowest.site}"
    low, high = lowest.alpha_corrected.low, lowest.alpha_corrected.high
    interval = None if low is None or high is None else (low, high)
    return [Claim(statement, source, "alpha >= -1", measured, verdict, interval, n=len(defined), note=note)]


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
