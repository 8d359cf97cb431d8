"""Toy models and coding theory: every claim a prediction, a measurement and a verdict.

    from toy import incidental

    found = incidental.measure(sizes=["16x64"], seeds=8)
    incidental.judge(found)

Each experiment is a room with `measure`, `judge`, its options and its result.
"""

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

# before the first import of `eval`: a file eval.py in the user's folder would be run in its place
runpy.run_path(str(Path(__file__).parents[1] / "eval" / "shadowing.py"), run_name="__shadowing__")

from eval.face import lazy  # noqa: E402

if TYPE_CHECKING:
    from toy import capacity, dropout_channel, incidental, one_way, spectra, superposition

    __version__: str

_ROOMS = ("capacity", "dropout_channel", "incidental", "one_way", "spectra", "superposition")
__all__ = ["__version__", "capacity", "dropout_channel", "incidental", "one_way", "spectra", "superposition"]
__getattr__, __dir__ = lazy(__name__, {room: f"toy.{room}" for room in _ROOMS})
