"""Checkpoints of a training run: everything a bitwise continuation needs, in one file; the last few are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError
from eval.files import is_readable, remove, sealed_path, write_text
from llm_codes.configs.saes import TrainingOptions
from llm_codes.lenses.saes.training.specification import Spec
from llm_codes.lenses.saes.training.trainers import Trained


@dataclass
class Place:
    """Where in the stream the run is, and what it has skipped."""

    step: int = 0
    block: int = 0
    batch: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in a run folder, of these dictionaries under these options."""

    folder: Path
    specs: Sequence[Spec]
    options: TrainingOptions
    device: str

    def _fingerprint(self) -> str:
        size = self.options.train_batch_size
        return json.dumps([[spec.as_json() for spec in self.specs], self.options.tokens, size])

    def save(self, saes: Sequence[Trained], place: Place) -> None:
        """One file with everything; the oldest beyond `keep` go."""
        from safetensors.torch import save_file

        tensors = {}
        for number, sae in enumerate(saes):
            tensors |= {f"{number}/{name}": v.contiguous().clone() for name, v in sae.state().items()}
        words = {"place": json.dumps(vars(place)), "fingerprint": self._fingerprint()}
        with sealed_path(self.folder / "checkpoints" / f"step-{place.step:08d}.safetensors") as temporary:
            save_file(tensors, temporary, metadata=words)
        for old in self.found()[: -self.options.keep]:
            remove(old)

    def found(self) -> list[Path]:
        """Files of this run, oldest first."""
        return sorted((self.folder / "checkpoints").glob("step-*.safetensors"))

    def restore(self, saes: Sequence[Trained], place: Place) -> bool:
        """Continue from the newest checkpoint that is whole (whether there is one); cut the log back to it.

        Raises:
            UserError: it is of other settings.
        """
        from safetensors import safe_open

        newest = next((path for path in reversed(self.found()) if is_readable(path)), None)
        if newest is not None:
            with safe_open(newest, "pt", device=self.device) as file:
                words = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if words["fingerprint"] != self._fingerprint():
                raise UserError(
                    f"{self.folder} holds a training run with other settings; choose another --out or pass --overwrite"
                )
            for number, sae in enumerate(saes):
                prefix = f"{number}/"
                sae.load_state({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
            vars(place).update(json.loads(words["place"]))
        self._cut_log(place.step)
        return newest is not None

    def _cut_log(self, step: int) -> None:
        metrics = self.folder / "metrics.jsonl"
        if metrics.exists():
            lines = [line for line in metrics.read_text("utf-8").splitlines() if _step_of(line) <= step]
            write_text(metrics, "".join(line + "\n" for line in lines))


def _step_of(line: str) -> float:
    """The step of a log line; a line that a kill cut short counts as never written."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
