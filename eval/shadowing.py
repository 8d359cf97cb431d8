"""Is this suite's package `eval` the one that Python finds? A file `eval.py` in the user's folder comes first.

Every wing runs this file by its place, before its first import of `eval` (which would run the user's file instead):

    runpy.run_path(str(Path(__file__).parents[1] / "eval" / "shadowing.py"), run_name="__shadowing__")

A folder's own `toy.py` hides the wing `toy` from `python -m toy` altogether, so that nothing of ours runs: there the
command `toy-codes` is the cure.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

HOME = Path(__file__).resolve().parent
WINGS = ("llm_codes", "vision_codes", "toy")


def complaint() -> str | None:
    """One line that names what hides the package `eval`, with the cure; `None` where nothing does."""
    try:
        spec = find_spec("eval")
    except ValueError:  # something has put a module without a specification into sys.modules
        spec = None
    found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if found is not None and found.parent == HOME:
        return None
    return (
        f"expected `eval` to be the package of neural-codes ({HOME}); got {found or 'nothing importable'}, which hides "
        "it; rename that file, start in another folder, or use the command llm-codes, vision-codes or toy-codes"
    )


def refuse() -> None:
    """End `python -m <wing>` with one line and exit status 2, and an import with an `ImportError` of the same words."""
    text = complaint()
    if text is None:
        return
    if any(word == "-m" and name in WINGS for word, name in pairwise(sys.orig_argv)):
        sys.stderr.write(f"error: {text}\n")
        raise SystemExit(2)
    raise ImportError(text)


if __name__ == "__shadowing__":
    refuse()
