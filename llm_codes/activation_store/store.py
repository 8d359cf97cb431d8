"""A store of activations as something to read from, in the place of a model.

    store = ActivationStore.open("runs/store")
    spectra(store, store.corpus, sites="mlp_out")

It answers what a model answers to those who read activations (`llm_codes.activation_source`): batch by batch, site by
site, with the values that the model had. Only the rows asked for are read. Axes: row (a token position), window,
position, width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError, nearest
from eval.progress import progress
from llm_codes.activation_store.layout import Manifest
from llm_codes.activation_store.shards import check_shard, read_columns, read_rows
from llm_codes.activation_store.windows_of_rows import StoredWindows, windows_of
from llm_codes.activation_store.writing import StoredWindow, write_store
from llm_codes.sites import Site, parse_layers
from llm_codes.windows import Batch, Corpus

UNSTATED = "not stated"


@dataclass(frozen=True, eq=False, repr=False)
class ActivationStore:
    """An open store. folder: where it lies. device: where activations are handed to.

    corpus: the text that was read, window by window, as the model met it (token ids are 0 where the store has none).
    """

    folder: Path
    manifest: Manifest
    rows: StoredWindows
    corpus: Corpus
    device: str = "cpu"

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "cpu") -> ActivationStore:
        """Open a store, every shard checked against its hash.

        Raises:
            UserError: no store, an unfinished one; a shard that is missing, replaced, damaged or of other shapes.
        """
        place = Path(folder)
        manifest = Manifest.read(place)
        columns = []
        for shard in progress(manifest.shards, label="store", unit="shard"):
            check_shard(place, shard, manifest.sites, manifest.dtype)
            columns.append(read_columns(place / shard.file))
        rows, corpus = windows_of(columns, manifest)
        return cls(place, manifest, rows, corpus, device)

    @staticmethod
    def write(
        folder: str | Path,
        windows: Iterable[StoredWindow | Mapping[str, Any]],
        *,
        model: str,
        dtype: str = "float32",
        weights_sha256: str | None = None,
        tokenizer_sha256: str | None = None,
        prepend_bos: bool = False,
        shard_mb: float = 512.0,
    ) -> ActivationStore:
        """Write activations of any origin (nnsight, vLLM, a loop of one's own) as a store, and open it.

            ActivationStore.write("store", ({"blocks.3.mlp.hook_out": array} for array in arrays), model="my model")

        Args:
            windows: one sequence that the model read each, as a `StoredWindow` or as its activations
                [position width] by hook name (then each is a document of its own). They are taken one by one, and no
                more than a shard of them is held.
            model: its name. weights_sha256, tokenizer_sha256: their content (`Model.provenance()`), where it is known;
                only then can a model be checked against the store.
            dtype: float32 or bfloat16. prepend_bos: whether position 0 of every window is a BOS.

        Raises:
            UserError: a folder that holds something, windows whose sites, widths or lengths differ, NaN or infinity.
        """
        stated = {"weights_sha256": weights_sha256, "tokenizer_sha256": tokenizer_sha256}
        write_store(
            Path(folder),
            (window if isinstance(window, StoredWindow) else StoredWindow(window) for window in windows),
            model={"name": model, **{key: value for key, value in stated.items() if value}},
            dtype=dtype,
            prepend_bos=prepend_bos,
            shard_bytes=int(shard_mb * 2**20),
        )
        return ActivationStore.open(folder)

    def __repr__(self) -> str:
        sites = ", ".join(site.name for site in self.sites)
        return f"ActivationStore {self.folder}: {sites} of {self.name}, {self.manifest.dtype}; {self.corpus!r}"

    @property
    def sites(self) -> tuple[Site, ...]:
        """What is stored, in the order of the computation."""
        return self.manifest.sites

    @property
    def sha256(self) -> str:
        """The content of the store."""
        return self.manifest.sha256

    @property
    def weights_sha256(self) -> str:
        """What stands for the weights where a pass is recognised again: the activations themselves."""
        return self.sha256

    @property
    def name(self) -> str:
        """The model's."""
        return str(self.manifest.model.get("name") or "a model that is not named")

    @property
    def untrained(self) -> bool:
        return bool(self.manifest.model.get("untrained"))

    @property
    def context(self) -> int:
        return self.corpus.context

    @property
    def dtype(self) -> torch.dtype:
        """Of what is handed out; on disk it may be bfloat16."""
        return torch.float32

    @property
    def n_layers(self) -> int:
        """Of the model; where the store does not say, the layers up to the last stored one."""
        return int(self.manifest.model.get("n_layers") or 1 + max(0, *(site.layer for site in self.sites)))

    def numbers_alive(self, windows: int, context: int) -> int:
        """Nothing is computed, so nothing is alive beside what is read."""
        return 0

    def check_hooks(self, names: Sequence[str]) -> None:
        """Raises UserError for a hook that is not stored, with what is."""
        known = [site.hook for site in self.sites]
        for name in names:
            if name not in known:
                raise UserError(
                    f"expected a hook stored in {self.folder}; got {name!r}: {nearest(name, known)}; harvest it too"
                )

    def stream_batch(self, batch: Batch, hooks: Sequence[Any], receive: Callable[[str, Tensor], None]) -> None:
        """`receive(hook, activation)` with the stored activations [window position width] of a batch, zero at padding,
        in the order of the computation."""
        names = {str(getattr(hook, "hook", hook)) for hook in hooks}
        self.check_hooks(sorted(names))
        for site in self.sites:
            if site.hook in names:
                receive(site.hook, self._of_batch(site, batch).to(self.device))

    def _of_batch(self, site: Site, batch: Batch) -> Tensor:
        out = torch.zeros(*batch.tokens.shape, site.width)
        for place, window in enumerate(batch.window.tolist()):
            shard, first, stop = self.rows.where(window)
            found = read_rows(self.folder, self.manifest.shards[shard], site.hook, first, stop)
            out[place, self.rows.positions_of(window)] = found
        return out

    def resolve_sites(self, names: str | Sequence[str], layers: str | None = None) -> list[Site]:
        """The stored sites that are meant: kinds at layers (`:` all that are stored), `kind@layer` or hook names.

        Raises `UserError` for what is not stored, with what is.
        """
        out: list[Site] = []
        for name in [names] if isinstance(names, str) else names:
            exact = [site for site in self.sites if name in (site.name, site.hook)]
            out.extend(exact or self._of_kind(name, layers or ":"))
        return list(dict.fromkeys(out))

    def _of_kind(self, kind: str, layers: str) -> list[Site]:
        stored = [site for site in self.sites if site.kind == kind]
        there = ", ".join(site.name for site in self.sites)
        if not stored:
            raise UserError(f"expected a site stored in {self.folder} ({there}); got {kind!r}; harvest it, or name one")
        wanted = parse_layers(layers, self.n_layers)
        missing = [layer for layer in wanted if layer not in {site.layer for site in stored}]
        if missing and layers.strip() != ":":
            raise UserError(
                f"expected {kind} of layers stored in {self.folder} ({there}); got layer {missing[0]}; harvest it, or "
                "mend --layers"
            )
        return [site for site in stored if site.layer in wanted]

    def provenance(self) -> dict[str, Any]:
        """The model as the store states it, and the store itself by its content."""
        stated = {"name": self.name, "source": UNSTATED, "untrained": self.untrained, "n_layers": self.n_layers}
        kept = {"sha256": self.sha256, "dtype": self.manifest.dtype, "shards": len(self.manifest.shards)}
        return {**stated, **self.manifest.model, "activations": kept}
