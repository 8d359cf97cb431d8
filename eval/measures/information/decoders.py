"""The decoder bound: whoever can decode x from y has that much information. All values in nats.

Axis glossary: ``sample`` independent draws, ``dimension`` of y, ``bit`` of a message, ``symbol`` message values.

``I(X; Y) = H(X) - H(X|Y) >= H(X) + E log q(x | y)`` for every decoder q [Barber & Agakov 2003], evaluated on held-out
samples. With discrete x, log q <= 0, so the bound cannot exceed H(X).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.information.critics import NetworkOptions, _fit
from eval.measures.information.networks import perceptron


def symbol_log_likelihood(
    train: tuple[Int[Tensor, " train"], Float[Tensor, "train dimension"]],
    test: tuple[Int[Tensor, " sample"], Float[Tensor, "sample dimension"]],
    n_symbols: int,
    options: NetworkOptions,
    seed: int,
) -> Float[Tensor, " sample"]:
    """Held-out ``log q(x | y)`` of a softmax decoder over ``n_symbols`` message values."""
    generator = torch.Generator().manual_seed(seed)
    x, y = train
    decoder = perceptron(y.shape[1], n_symbols, hidden=options.hidden, layers=options.layers, generator=generator)
    _fit(decoder, lambda i: torch.nn.functional.cross_entropy(decoder(y[i]), x[i]), len(x), options, generator)
    with torch.no_grad():
        return -torch.nn.functional.cross_entropy(decoder(test[1]), test[0], reduction="none")


def bit_log_likelihood(
    train: tuple[Int[Tensor, "train bit"], Float[Tensor, "train dimension"]],
    test: tuple[Int[Tensor, "sample bit"], Float[Tensor, "sample dimension"]],
    options: NetworkOptions,
    seed: int,
) -> Float[Tensor, " sample"]:
    """Held-out ``log q(x | y)`` of a decoder that guesses every bit on its own given y.

    Still a bound when the bits depend on each other given y, only a looser one.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = train[0].float(), train[1]
    decoder = perceptron(y.shape[1], x.shape[1], hidden=options.hidden, layers=options.layers, generator=generator)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    _fit(
        decoder,
        lambda i: cross_entropy(decoder(y[i]), x[i], reduction="none").sum(1).mean(),
        len(x),
        options,
        generator,
    )
    with torch.no_grad():
        return -cross_entropy(decoder(test[1]), test[0].float(), reduction="none").sum(1)


def gaussian_log_likelihood(
    train: tuple[Float[Tensor, "train variable"], Float[Tensor, "train dimension"]],
    test: tuple[Float[Tensor, "sample variable"], Float[Tensor, "sample dimension"]],
    options: NetworkOptions,
    seed: int,
) -> Float[Tensor, " sample"]:
    """Held-out ``log q(x | y)``, q a Gaussian about a linear map of y plus a network's correction of it."""
    generator = torch.Generator().manual_seed(seed)
    x, y = train
    design = torch.cat([y, torch.ones(len(y), 1)], 1)
    # float64: LAPACK's last digits depend on where its workspace lies in memory, and training would amplify them
    linear = torch.linalg.lstsq(design.double(), x.double()).solution.float()
    network = perceptron(y.shape[1], x.shape[1], hidden=options.hidden, layers=options.layers, generator=generator)
    with torch.no_grad():
        network[-1].weight.zero_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        network[-1].bias.zero_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

    def residual(a: Tensor, b: Tensor) -> Tensor:
        return a - torch.cat([b, torch.ones(len(b), 1)], 1) @ linear - network(b)

    _fit(network, lambda i: residual(x[i], y[i]).square().sum(1).mean(), len(x), options, generator)
    with torch.no_grad():
        covariance = torch.cov(residual(x, y).T).reshape(x.shape[1], x.shape[1])
        covariance = covariance + 1e-8 * torch.eye(len(covariance))
        density = torch.distributions.MultivariateNormal(torch.zeros(x.shape[1]), covariance_matrix=covariance)
        return density.log_prob(residual(*test))
