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

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from eval.errors import UserError, known_name
from eval.torchvision_operators import declare_missing_operators

RECONSTRUCTION_LOSSES = ("mse", "bce")
POOLINGS = ("average", "flatten")
DROPOUT_PLACES = ("every-relu", "encoder")
OUTPUT_NORMS = ("batch", "none")
STEMS = ("pool", "no-pool")


@dataclass(frozen=True)
class Architecture:
    """Everything that decides the shapes of the network and the places of its dropout.

    image_size: side in pixels, at least 32. channels: 1 or 3. base_width: channels of the first stage (64 is
    ResNet-18; the stages have 1, 2, 4, 8 times as many). fully_connected: width of the four dense layers. latent:
    dimensions of the code. dropout: probability in [0, 1) at every ReLU. pooling: what the dense layers see of the last
    stage, its ``average`` over positions (ResNet-18) or all of it (``flatten``, for narrow networks, whose average is
    too few numbers to draw an image from). dropout_at: ``every-relu``, or ``encoder`` for the 17 + 2 ReLUs before the
    code only (a narrow decoder cannot draw through its own noise). output_norm: BatchNorm before the final sigmoid
    (``batch``, the authors' files) or ``none``, so that an image's brightness does not depend on its batch.

    Three settings for networks without ImageNet weights and few steps. stem: ``pool`` halves the image twice before the
    first stage (ResNet-18), ``no-pool`` leaves the max-pooling out, as ResNets for small images do. decoder_width:
    channels of the decoder's first map (64 in the authors' files; the next ones have a half and an eighth as many).
    open_relus: initial mean of what the ReLUs of the encoder see, in standard deviations (0 is torchvision's; at 0.5
    seven units in ten start in their linear range, so that a fresh network passes more of the image on).
    """

    image_size: int = 224
    channels: int = 3
    base_width: int = 64
    fully_connected: int = 1024
    latent: int = 256
    dropout: float = 0.0
    pooling: str = "average"
    dropout_at: str = "every-relu"
    output_norm: str = "batch"
    stem: str = "pool"
    decoder_width: int = 64
    open_relus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise UserError(f"expected dropout in [0, 1); got {self.dropout:g}; 0.2 drops one unit in five")
        if self.channels not in (1, 3):
            raise UserError(f"expected 1 (grey) or 3 (colour) channels; got {self.channels}; convert the images")
        if self.image_size < 32:
            raise UserError(f"expected images of at least 32 pixels; got {self.image_size}; pass a larger image size")
        known_name(self.pooling, POOLINGS, "pooling")
        known_name(self.dropout_at, DROPOUT_PLACES, "place of dropout")
        known_name(self.output_norm, OUTPUT_NORMS, "output norm")
        known_name(self.stem, STEMS, "stem")
        for name, least in (("base_width", 1), ("fully_connected", 1), ("latent", 1), ("decoder_width", 8)):
            if getattr(self, name) < least:
                raise UserError(
                    f"expected {name} of at least {least}; got {getattr(self, name)}; choose a larger width"
                )
        if not math.isfinite(self.open_relus):
            raise UserError(f"expected a finite open_relus; got {self.open_relus}; 0 is torchvision's")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Rectifier(nn.Module):
    """One ReLU with its own dropout behind it; the site is the output of ``relu``, before anything is dropped."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.relu(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut [He et al. 2016], with two ReLU sites."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.rectifier1 = Rectifier(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.rectifier2 = Rectifier(dropout)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.rectifier1(self.bn1(self.conv1(x)))
        return self.rectifier2(self.bn2(self.conv2(out)) + shortcut)


class Encoder(nn.Module):
    """ResNet-18 without its classifier: 17 ReLU sites; its ``width`` numbers go to the dense layers."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, dropout = architecture.base_width, architecture.dropout
        self.conv1 = nn.Conv2d(architecture.channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.rectifier = Rectifier(dropout)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if architecture.stem == "pool" else nn.Identity()
        inputs = width
        for stage in range(4):
            outputs, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = [BasicBlock(inputs, outputs, stride, dropout), BasicBlock(outputs, outputs, 1, dropout)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.pools = architecture.pooling == "average"
        shrinks = 32 if architecture.stem == "pool" else 16
        positions = 1 if self.pools else math.ceil(architecture.image_size / shrinks) ** 2
        self.width = inputs * positions
        self.apply(_initialise_as_torchvision)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        x = self.maxpool(self.rectifier(self.bn1(self.conv1(x))))
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x.mean((2, 3)) if self.pools else x.flatten(1)


def _initialise_as_torchvision(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _open_relus(*parts: nn.Module, bias: float) -> None:
    """Shift what every ReLU sees by ``bias`` through the BatchNorm before it.

    Not where an identity shortcut is added to it: what comes out of the last ReLU is positive already, and a mean that
    grew from block to block would only feed dropout's noise, whose variance goes with the mean square.
    """
    for module in (module for part in parts for module in part.modules()):
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.constant_(module.bias, bias)
    blocks = [module for part in parts for module in part.modules() if isinstance(module, BasicBlock)]
    for block in blocks:
        added: Any = block.bn2 if block.downsample is None else block.downsample[1]
        nn.init.zeros_(added.bias)


def _dense(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=0.01), Rectifier(dropout))


class Decoder(nn.Module):
    """Latent code to image: two dense layers, 4x4, three transposed convolutions (9, 19, 39 px), sigmoid, resize."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        wide = architecture.fully_connected
        dropout = architecture.dropout if architecture.dropout_at == "every-relu" else 0.0
        self.image_size, self.first = architecture.image_size, architecture.decoder_width
        second, third = self.first // 2, self.first // 8
        self.fc4 = _dense(architecture.latent, wide, dropout)
        self.fc5 = _dense(wide, self.first * 4 * 4, dropout)
        self.up6 = self._up(self.first, second, Rectifier(dropout))
        self.up7 = self._up(second, third, Rectifier(dropout))
        self.up8 = self._up(third, architecture.channels, nn.Sigmoid())
        if architecture.output_norm == "none":
            self.up8[1] = nn.Identity()

    @staticmethod
    def _up(inputs: int, outputs: int, nonlinearity: nn.Module) -> nn.Sequential:
        convolution = nn.ConvTranspose2d(inputs, outputs, 3, stride=2)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs, momentum=0.01), nonlinearity)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channel height width"]:
        x = self.fc5(self.fc4(z)).view(-1, self.first, 4, 4)
        x = self.up8(self.up7(self.up6(x)))
        return functional.interpolate(x, size=self.image_size, mode="bilinear", align_corners=False)


class Output(NamedTuple):
    """What a forward pass returns: reconstruction in [0, 1], and the mean and log-variance of the code."""

    reconstruction: Float[Tensor, "batch channel height width"]
    mean: Float[Tensor, "batch latent"]
    log_variance: Float[Tensor, "batch latent"]


class ResNetVAE(nn.Module):
    """The whole network. Images are in [0, 1]; in eval mode the code is its mean (no noise), dropout is off."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        wide, dropout = architecture.fully_connected, architecture.dropout
        self.encoder = Encoder(architecture)
        self.fc1 = _dense(self.encoder.width, wide, dropout)
        self.fc2 = _dense(wide, wide, dropout)
        self.fc3_mean = nn.Linear(wide, architecture.latent)
        self.fc3_log_variance = nn.Linear(wide, architecture.latent)
        _open_relus(self.encoder, self.fc1, self.fc2, bias=architecture.open_relus)
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


def reparametrise(
    mean: Float[Tensor, "batch latent"], log_variance: Float[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """z = mean + exp(log_variance / 2) * noise, noise ~ N(0, I) [Kingma & Welling 2014]; gradients flow to both."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


class Losses(NamedTuple):
    """Loss terms, each a mean over images. total = reconstruction + kl_weight * kl."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def vae_loss(
    output: Output, images: Float[Tensor, "batch channel height width"], *, kind: str = "mse", kl_weight: float = 1.0
) -> Losses:
    """How badly are the images reconstructed, and how far is the code from its prior? Lower is better, both >= 0 (mse).

    reconstruction: squared error (``mse``) or binary cross-entropy in nats (``bce``), *summed* over pixels and
    channels. kl: KL(q(z | image) || N(0, I)) = -1/2 sum(1 + log s^2 - mu^2 - s^2), in nats, summed over the latent.
    Both are then averaged over images, which fixes the meaning of ``kl_weight`` (1 is the evidence lower bound for a
    unit-variance decoder, up to the factor 2 of the squared error, as in the authors' code).

    Raises:
        UserError: an unknown ``kind``.
    """
    if kind not in RECONSTRUCTION_LOSSES:
        raise UserError(f"expected a reconstruction loss of {RECONSTRUCTION_LOSSES}; got {kind!r}; choose one of them")
    with torch.autocast(images.device.type, enabled=False):
        prediction = output.reconstruction.float()
        mean, log_variance = output.mean.float(), output.log_variance.float()
        if kind == "mse":
            summed = functional.mse_loss(prediction, images, reduction="sum")
        else:
            summed = functional.binary_cross_entropy(prediction, images, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    reconstruction, kl = summed / len(images), kl / len(images)
    return Losses(reconstruction + kl_weight * kl, reconstruction, kl)


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
