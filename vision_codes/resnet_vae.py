"""A variational autoencoder with a ResNet-18 encoder, every ReLU of which is a site with its own dropout.

Axis glossary: ``batch``, ``channel``, ``height``, ``width``, ``latent``.

Architecture of Marshall & Kirchner 2023 (their released code follows a widely copied ResNet-VAE): ResNet-18 without its
classifier, two fully connected layers, mean and log-variance heads, two fully connected layers and three transposed
convolutions back, bilinear resize to the image. Deviation: each ReLU is its own module followed by its own dropout (a
residual block of torchvision uses one ReLU module twice), so that a site is one place. The parameters of the encoder
keep torchvision's names, so its ImageNet weights load as they are.

Dropout has no parameters: networks built from one seed share their initial weights whatever their dropout.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eval.errors import UserError
from eval.torchvision_operators import declare_missing_operators
from vision_codes.vae_architecture import Architecture
from vision_codes.vae_loss import Output, reparametrise
from vision_codes.vae_parts import Decoder, Encoder, dense, open_relus


class ResNetVAE(nn.Module):
    """The whole network. Images are in [0, 1]; in eval mode the code is its mean (no noise), dropout is off."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        wide, dropout = architecture.fully_connected, architecture.dropout
        self.encoder = Encoder(architecture)
        self.fc1 = dense(self.encoder.width, wide, dropout)
        self.fc2 = dense(wide, wide, dropout)
        self.fc3_mean = nn.Linear(wide, architecture.latent)
        self.fc3_log_variance = nn.Linear(wide, architecture.latent)
        open_relus(self.encoder, self.fc1, self.fc2, bias=architecture.open_relus)
        self.decoder = Decoder(architecture)

    def encode(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Mean and log-variance of the code q(z | image)."""
        self.check_images(images)
        x = self.fc2(self.fc1(self.encoder(images)))
        return self.fc3_mean(x), self.fc3_log_variance(x)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Output:
        mean, log_variance = self.encode(images)
        code = reparametrise(mean, log_variance) if self.training else mean
        return Output(self.decoder(code), mean, log_variance)

    def check_images(self, images: Tensor) -> None:
        """Raises `UserError` for images of another size or number of channels than this network's."""
        size, channels = self.architecture.image_size, self.architecture.channels
        if images.ndim != 4 or images.shape[1] != channels or images.shape[2:] != (size, size):
            raise UserError(
                f"expected images [batch, {channels}, {size}, {size}]; got {list(images.shape)}; "
                "resize them and match their channels (vision_codes.lenses.training.study.prepare)"
            )

    def relu_sites(self) -> dict[str, nn.Module]:
        """The encoder's 17 convolutional ReLUs in the order of the computation: ``relu``, ``layer1.0.relu1``, ..."""
        sites: dict[str, nn.Module] = {"relu": self.encoder.rectifier.relu}
        for stage in range(1, 5):
            for block in range(2):
                for which in (1, 2):
                    module = self.encoder.get_submodule(f"layer{stage}.{block}.rectifier{which}.relu")
                    sites[f"layer{stage}.{block}.relu{which}"] = module
        return sites


def build(architecture: Architecture, seed: int) -> ResNetVAE:
    """A freshly initialised network; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNetVAE(architecture)


def load_imagenet_encoder(model: ResNetVAE) -> str:
    """Start the encoder from torchvision's ImageNet ResNet-18; returns the name of the weights.

    Raises:
        UserError: another width or channel count than ResNet-18's, or weights that cannot be had.
    """
    architecture = model.architecture
    if architecture.base_width != 64 or architecture.channels != 3:
        raise UserError(
            f"expected base_width 64 and 3 channels for ImageNet weights; got {architecture.base_width} and "
            f"{architecture.channels}; pass --pretrained no"
        )

    declare_missing_operators()
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=False)
    except OSError as error:
        raise UserError(
            f"expected to download {weights}; got {error}; pass --pretrained no to start from random weights"
        ) from error
    encoder_state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    model.encoder.load_state_dict(encoder_state)
    return str(weights)
