"""What [MK] says of alpha, judged; and what makes a number doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.claims import Claim
from eval.scores import Score
from llm_codes.lenses.spectra.study import Spectra

LARGE_SHARE = 0.5


FEW_TOKENS = 16


def alpha_score(row: Mapping[str, Any]) -> Score:
    """The corrected exponent of a row."""
    if row.get("alpha_corrected") is None:
        return Score.undefined(row.get("alpha_corrected_reason", "undefined"), row.get("n_documents"))
    low, high = row["alpha_ci"] or (None, None)
    return Score(row["alpha_corrected"], low, high, row["n_documents"])


def _of_kind(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def claims(trained: Spectra) -> list[Claim]:
    """[MK Fig. 7a]: alpha >= -1 at every depth (residual stream). Judged on the layer that contradicts it most."""
    kind = "resid_post" if _of_kind(trained.rows, "resid_post") else trained.rows[0]["kind"]
    rows = [row for row in _of_kind(trained.rows, kind) if row.get("alpha_corrected") is not None]
    statement = f"alpha >= -1 at every depth ({kind})"
    source = "MK section 2, Fig. 7a (GPT-2 XL)"
    if not rows:
        note = "no site has a defined exponent: " + str(trained.rows[0].get("alpha_corrected_reason"))
        return [Claim(statement, source, "every interval above -1", None, "cannot tell", note=note)]
    lowest = min(rows, key=lambda row: row["alpha_corrected"])
    low, high = lowest["alpha_ci"]
    below = [row for row in rows if row["alpha_ci"][1] < -1]
    above = [row for row in rows if row["alpha_ci"][0] >= -1]
    verdict = "fails" if below else "holds" if len(above) == len(rows) else "cannot tell"
    note = f"{len(above)} of {len(rows)} layers wholly above -1, {len(below)} wholly below; lowest at {lowest['site']}"
    measured = lowest["alpha_corrected"]
    return [Claim(statement, source, "alpha >= -1", measured, verdict, (low, high), n=len(rows), note=note)]


def warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    out = []
    undefined = [row for row in rows if row.get("alpha_corrected") is None]
    if undefined:
        reasons = "; ".join(dict.fromkeys(str(row.get("alpha_corrected_reason")) for row in undefined))
        out.append(f"alpha_corrected is undefined at {len(undefined)} of {len(rows)} sites: {reasons}")
    thin = [row for row in rows if row["n_tokens"] / row["width"] < FEW_TOKENS]
    if thin:
        worst = min(thin, key=lambda row: row["n_tokens"] / row["width"])
        ratio = worst["n_tokens"] / worst["width"]
        out.append(
            f"{len(thin)} sites have fewer than {FEW_TOKENS} tokens per component (least: {worst['site']}, "
            f"N/d = {ratio:.1f}): the exponent as measured is biased there; read the corrected one, or read more text."
        )
    large = [row for row in rows if (row.get("top_direction_share") or 0) > LARGE_SHARE]
    if large:
        worst = max(large, key=lambda row: row["top_direction_share"])
        out.append(
            f"One direction holds {worst['top_direction_share']:.0%} of the variance at {worst['site']} (more than "
            f"half at {len(large)} sites): participation ratio and effective rank describe mostly that direction there."
        )
    return out
