"""How every room tests its verdicts: results in which each statement holds, and others in which it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval.claims import Claim


def claim_with(claims: Sequence[Claim], words: str) -> Claim:
    """The one claim whose text holds these words."""
    found = [claim for claim in claims if words in claim.claim]
    assert len(found) == 1, (words, [claim.claim for claim in claims])
    return found[0]


def check_holds(judge: Callable[[Any], list[Claim]], good: Any, undecidable: Sequence[str] = ()) -> None:
    """Every claim of `good` holds, but those that nothing can decide."""
    wrong = {claim.claim: claim.verdict for claim in judge(good) if claim.verdict != "holds"}
    for words in undecidable:
        assert claim_with(judge(good), words).verdict == "cannot tell"
    left = [text for text in wrong if not any(words in text for words in undecidable)]
    assert not left, left


def check_covered(judge: Callable[[Any], list[Claim]], good: Any, words: Sequence[str]) -> None:
    """Every claim has a case in which it fails."""
    missing = [claim.claim for claim in judge(good) if not any(one in claim.claim for one in words)]
    assert not missing, missing
