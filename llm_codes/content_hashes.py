"""The content of weights and tokenizers as hashes: identity is content, never a name or a path."""

from __future__ import annotations

import copy
import hashlib
import weakref
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")


def weights_state(network: Any) -> tuple[tuple[int, int], ...]:
    """Which parameters there are and how often each was written to: another state may be other weights."""
    return tuple((id(parameter), parameter._version) for parameter in network.parameters())


def once_per_weights(check: Callable[..., Found]) -> Callable[..., Found]:
    """What a check of a hooked model found, measured the first time and again when its weights were written to."""
    known: weakref.WeakKeyDictionary[Any, tuple[Any, Found]] = weakref.WeakKeyDictionary()

    @wraps(check)
    def found(model: Any, *arguments: Any) -> Found:
        state = weights_state(model.bridge)
        if model not in known or known[model][0] != state:
            known[model] = (state, check(model, *arguments))
        return known[model][1]

    return found


def parameters_sha256(parameters: Iterable[tuple[str, Tensor]]) -> str:
    """Content hash of named parameters, in order of their names."""
    digest = hashlib.sha256()
    for name, parameter in sorted(parameters, key=lambda item: item[0]):
        values = parameter.detach().contiguous().cpu()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data if values.numel() else b"")
    return digest.hexdigest()


def tokenizer_sha256(tokenizer: Any) -> str | None:
    """Content of a tokenizer, less the truncation and padding of its last call; `None` without a vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = getattr(tokenizer, "get_vocab", lambda: None)()
        return vocabulary and hashlib.sha256(repr(sorted(vocabulary.items())).encode()).hexdigest()
    return backend_sha256(uncut(backend))


def uncut(backend: Any) -> Any:
    """A copy of a fast tokenizer's backend that cuts and pads nothing, whatever it was told before."""
    plain = copy.deepcopy(backend)
    plain.no_truncation()
    plain.no_padding()
    return plain


def backend_sha256(backend: Any) -> str:
    """Content of a fast tokenizer's backend, as it is written to a file."""
    return hashlib.sha256(backend.to_str().encode()).hexdigest()
