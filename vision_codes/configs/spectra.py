"""`vision_codes spectra` and `eigenfilters`: every setting, its default, its help. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option

IMAGE_SOURCES = ("data", "random", "phase-scrambled")


@dataclass(frozen=True, kw_only=True)
class ImagesConfig(RunConfig):
    """A trained network and the images it looks at."""

    model: str = option(help="folder written by `vision_codes train`")
    data: str = option("cifar10", "cifar10, mnist, synthetic, or an image folder (one sub-folder per class)")
    split: str = option("all", "which images", choices=("train", "test", "all"))
    n_images: int = option(5000, "images to show (0: all)")
    sites: tuple[str, ...] = option((), "ReLU sites, e.g. relu,layer1.0.relu1 (empty: all 17)")
    untrained: bool = option(False, "control: the same architecture with fresh weights")
    images: str = option("data", "control: random or phase-scrambled images instead", choices=IMAGE_SOURCES)
    grey_as_colour: bool = option(False, "show grey images to a colour network")
    batch_size: int = option(100, "images per forward pass", identity=False)


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(ImagesConfig):
    """Eigenspectra of a trained network at its ReLU sites, with the power-law exponent and its interval."""

    first: int = option(10, "first eigenvalue index of the fit (1-based)")
    last: int = option(50, "last eigenvalue index of the fit")
    max_units: int = option(
        8000, "units of a site that are kept where it is wider than there are images (random choice)"
    )
    max_memory_gb: float = option(8.0, "refuse to start above this predicted peak", identity=False)


@dataclass(frozen=True, kw_only=True)
class EigenfiltersConfig(ImagesConfig):
    """The leading eigenvectors of every site, drawn in its own space and as filters on pixels (Fig. 3d)."""

    n_images: int = option(1000, "images to show (0: all)")
    n_filters: int = option(6, "eigenvectors per site")
