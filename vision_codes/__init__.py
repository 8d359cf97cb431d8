"""ResNet-VAE spectra, CNN polytopes, MNIST unwrapped into sparse features.

    from vision_codes import load_images, load_model, open_network, polytopes, spectra

`load_model` opens a classifier for the polytopes, `open_network` a trained ResNet-VAE for spectra and projections.
"""

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

# before the first import of `eval`: a file eval.py in the user's folder would be run in its place
runpy.run_path(str(Path(__file__).parents[1] / "eval" / "shadowing.py"), run_name="__shadowing__")

from eval.face import lazy  # noqa: E402
from eval.torchvision_operators import declare_before_torchvision  # noqa: E402

if TYPE_CHECKING:
    from eval.errors import UserError
    from eval.results import load_result
    from vision_codes.configs.polytopes import PolytopesConfig
    from vision_codes.configs.projections import ProjectionsOptions
    from vision_codes.configs.spectra import SpectraOptions
    from vision_codes.data import ImageSet, load_images
    from vision_codes.inputs import Inputs, open_inputs, open_network
    from vision_codes.lenses.polytopes.study import polytopes
    from vision_codes.lenses.projections.study import projections
    from vision_codes.lenses.spectra.eigenfilters import eigenfilters
    from vision_codes.lenses.spectra.study import spectra
    from vision_codes.lenses.training.study import train
    from vision_codes.lenses.unwrap.digits import load_digits
    from vision_codes.lenses.unwrap.study import unwrap
    from vision_codes.models import VisionModel, load_model
    from vision_codes.resnet_vae import ResNetVAE

    __version__: str

_PLACES = {
    "ImageSet": "vision_codes.data:ImageSet",
    "Inputs": "vision_codes.inputs:Inputs",
    "PolytopesConfig": "vision_codes.configs.polytopes:PolytopesConfig",
    "ProjectionsOptions": "vision_codes.configs.projections:ProjectionsOptions",
    "ResNetVAE": "vision_codes.resnet_vae:ResNetVAE",
    "SpectraOptions": "vision_codes.configs.spectra:SpectraOptions",
    "UserError": "eval.errors:UserError",
    "VisionModel": "vision_codes.models:VisionModel",
    "eigenfilters": "vision_codes.lenses.spectra.eigenfilters:eigenfilters",
    "load_digits": "vision_codes.lenses.unwrap.digits:load_digits",
    "load_images": "vision_codes.data:load_images",
    "load_model": "vision_codes.models:load_model",
    "load_result": "eval.results:load_result",
    "open_inputs": "vision_codes.inputs:open_inputs",
    "open_network": "vision_codes.inputs:open_network",
    "polytopes": "vision_codes.lenses.polytopes.study:polytopes",
    "projections": "vision_codes.lenses.projections.study:projections",
    "spectra": "vision_codes.lenses.spectra.study:spectra",
    "train": "vision_codes.lenses.training.study:train",
    "unwrap": "vision_codes.lenses.unwrap.study:unwrap",
}
__all__ = [
    "ImageSet",
    "Inputs",
    "PolytopesConfig",
    "ProjectionsOptions",
    "ResNetVAE",
    "SpectraOptions",
    "UserError",
    "VisionModel",
    "__version__",
    "eigenfilters",
    "load_digits",
    "load_images",
    "load_model",
    "load_result",
    "open_inputs",
    "open_network",
    "polytopes",
    "projections",
    "spectra",
    "train",
    "unwrap",
]
__getattr__, __dir__ = lazy(__name__, _PLACES)
declare_before_torchvision()
