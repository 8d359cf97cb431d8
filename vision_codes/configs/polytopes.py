"""Options of `python -m vision_codes polytopes`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import nested, option
from vision_codes.configs.images import ImagesOptions, ProcessorConfig

LEAST_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class PolytopesConfig(ProcessorConfig):
    """Which linear pieces does a convolutional network cut its images into, and do they mark classes?"""

    model: str = option("efficientnet-lite0", "efficientnet-lite0, a torchvision model, or the path of a state dict")
    inputs: ImagesOptions = nested(ImagesOptions(split="test", images=100, evenly=True, batch_size=8))
    image_size: int = option(
        0, "side in pixels the images are resized to (0: the size the network was trained at)", at_least=0
    )
    layers: tuple[str, ...] = option((), "layers whose input space is measured (default: six, evenly over depth)")
    pairs: int = option(12, "image pairs, per kind, for interpolation; images for scaling", at_least=2)
    samples: int = option(
        31,
        "samples along a path where exact counting would be too long (31: one step for each of the 30 bins drawn)",
        at_least=2,
    )
    most_samples: int = option(
        241,
        "along rays, samples are doubled up to this many until they no longer move what is compared",
        at_least=2,
    )
    exact_up_to: int = option(
        25_000, "count exactly along paths where at most this many units (or one layer) lie ahead", at_least=0
    )
    probes: int = option(16, "random output directions for distances between local affine maps", at_least=1)
    patches: int = option(3000, "channel vectors (image positions) to cluster, at each of `patch_sites`", at_least=1)
    patch_sites: tuple[str, ...] = option(
        (),
        "switches whose channel codes are clustered, the first with clusters is shown (default: four, deepest first)",
    )
    min_cluster_size: int = option(8, "least channel vectors in a cluster", at_least=2)
    fixed_position: bool = option(
        True, "also cluster one fixed place of every image, and follow its regions from site to site"
    )
    directions: int = option(
        64, "NMF components of channel activations, held against the clusters of codes (0: none)", at_least=0
    )
    adversarial: int = option(8, "images moved just across the boundary of their class (0: none)", at_least=0)
    interventions: int = option(
        4, "clusters whose code is set by hand in other images, the largest first (0: none)", at_least=0
    )
    slice_size: int = option(32, "image side for the slice through the whole network (0: none)", at_least=0)
    slice_regions: int = option(4000, "regions to aim for in a slice; the cap is ten times this", at_least=10)
    controls: bool = option(True, "also measure four networks without the training")

    def validate(self) -> None:
        super().validate()
        if 0 < self.inputs.images < LEAST_IMAGES:
            raise UserError(
                f"expected --images of at least {LEAST_IMAGES} (0: all); got {self.inputs.images}; density needs pairs"
            )
        if self.slice_size == 1:
            raise UserError(
                "expected --slice-size 0 (no slice) or at least 2; got 1; an image of one pixel has no plane"
            )
