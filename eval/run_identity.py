"""Where a result comes from: the configuration, the content of the inputs, and the code that made it.

A kept result is good for the present command only where all three are the same. Names, paths and roles are no part of
it: images that were replaced under the same name are other images, and a function that was edited is other code.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.code_identity import code_identity
from eval.files import json_ready, json_text
from eval.flags import flat_values

PACKAGES = (
    "neural-codes torch transformer-lens sae-lens transformers datasets numpy scipy scikit-learn tokenizers safetensors"
).split()
PROJECT = ("eval", "llm_codes", "vision_codes", "toy")


def versions() -> dict[str, str | None]:
    """Installed versions of the packages that decide the numbers."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def platform_name() -> str:
    """Operating system and processor family."""
    return f"{platform.system()} {platform.machine()}"


def identity(config: Any) -> dict[str, Any]:
    """The fields of a configuration that decide the results, nested options laid flat."""
    return json_ready(flat_values(config, identity_only=True))


def short_hash(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()[:16]


def module_of(compute: Callable[..., Any]) -> str:
    """The module whose code a callable runs (a `functools.partial` is that of its function)."""
    while isinstance(compute, functools.partial):
        compute = compute.func
    return getattr(compute, "__module__", "") or ""


def code_of(modules: Sequence[str]) -> str:
    """Hash of the code of the project that `modules` reach, drawing left out; empty where none is of the project."""
    ours = sorted({name for name in modules if name.partition(".")[0] in PROJECT})
    return code_identity(ours) if ours else ""


@dataclass(frozen=True)
class Origin:
    """Where a kept result comes from.

    config: hash of the configuration's deciding fields. inputs: content hash by name of input. code: hash of the code,
    empty where it is not known (a function typed into a notebook). modules: whose code.
    """

    config: str = ""
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    code: str = ""
    modules: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return json_ready(self)

    @classmethod
    def from_json(cls, value: Any) -> Origin | None:
        """The origin a seal states; `None` where it states none."""
        if not isinstance(value, Mapping):
            return None
        inputs = value.get("inputs") or {}
        return cls(
            str(value.get("config", "")), dict(inputs), str(value.get("code", "")), tuple(value.get("modules") or ())
        )

    def differences(self, now: Origin) -> list[str]:
        """What is not the same any more, in words; empty where a result of this origin is good for `now`."""
        found = [] if self.config == now.config else ["another configuration"]
        for name in sorted(set(self.inputs) | set(now.inputs)):
            before, after = self.inputs.get(name, "none"), now.inputs.get(name, "none")
            if before != after:
                found.append(f"other {name} ({before[:12]}, now {after[:12]})")
        if self.code != now.code:
            found.append(f"other code of {', '.join(now.modules or self.modules)}")
        return found
