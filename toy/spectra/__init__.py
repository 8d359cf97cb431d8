"""The measures of the other wings on superposition models, whose code is known.

from toy import spectra

found = spectra.measure(steps=200)  # a typed result: to_frame(), to_csv(), save()
spectra.judge(found)  # every claim with prediction, measurement, verdict
"""

from typing import TYPE_CHECKING

from eval.face import lazy

if TYPE_CHECKING:
    from toy.configs.spectra import ToySpectraOptions as ToySpectraOptions
    from toy.spectra.claims import judge as judge
    from toy.spectra.results import ToySpectraResult as ToySpectraResult
    from toy.spectra.study import measure as measure

_PLACES = {
    "ToySpectraOptions": "toy.configs.spectra:ToySpectraOptions",
    "ToySpectraResult": "toy.spectra.results:ToySpectraResult",
    "judge": "toy.spectra.claims:judge",
    "measure": "toy.spectra.study:measure",
}
__all__ = ["ToySpectraOptions", "ToySpectraResult", "judge", "measure"]
__getattr__, __dir__ = lazy(__name__, _PLACES)
