"""The untrained network's own chain, the control of a chain: dictionaries and connector trained on an equal budget.

    sae train --untrained --sites mlp_in,mlp_out ...; connector train --from ... --to ...

Dictionaries say which network they were trained on, and a connector between them is fitted on that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eval.errors import UserError
from llm_codes.lenses.connectors.files import Chain, chain_hashes, open_chain
from llm_codes.lenses.connectors.study import fit_of
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.sanity import model_of
from llm_codes.models import Model


@dataclass(frozen=True)
class UntrainedChain:
    """A model of fresh weights and the chain trained on it, as on the model that it is the control of."""

    model: Model
    chain: Chain

    @property
    def sha256(self) -> str:
        found = chain_hashes(self.chain)
        return "+".join(found[name] for name in ("before", "after", "connector"))


def open_untrained_chain(model: Model, chain: Chain, connector: str, first: str, second: str) -> UntrainedChain:
    """The untrained copy of the model that these dictionaries name, and their chain.

    Raises:
        UserError: a part is missing, damaged or of another model; dictionaries of a trained model; another place, size
            or budget than the chain's.
    """
    control = open_chain(connector, first, second, device=model.device)
    for part in (control.first, control.second):
        if part.metadata.get("untrained_seed") is None:
            raise UserError(
                f"expected dictionaries of the untrained model in --untrained; {part.name} was trained on "
                f"{part.metadata.get('model_name')!r}; train them with `sae train --untrained`"
            )
    fresh = model_of(model, control.first)
    control = Chain(check_fits(control.first, fresh), check_fits(control.second, fresh), control.connector)
    _check_budget(chain, control)
    return UntrainedChain(fresh, control)


def _check_budget(chain: Chain, control: Chain) -> None:
    """The control was made like the chain: what it lacks must not be training."""
    mine, theirs = _budget(chain), _budget(control)
    for what, value in mine.items():
        other = theirs.get(what)
        if value is not None and other is not None and value != other:
            raise UserError(
                f"expected the untrained model's {what} as the chain's, {value}; got {other}; train both on an equal "
                "budget"
            )


def _budget(chain: Chain) -> dict[str, Any]:
    """What a chain was made with, by name; none where its folders do not say."""
    out: dict[str, Any] = {}
    for side, part in (("dictionary before", chain.first), ("dictionary after", chain.second)):
        out |= {f"{side}, {name}": value for name, value in _of_dictionary(part).items()}
    description = chain.connector.description
    out["connector, fit_tokens"] = description.get("fit_tokens")
    out |= {f"connector, {name}": description.get(name) for name in ("init", "loss")}
    if description.get("fit"):
        out |= {f"connector, {name}": value for name, value in asdict(fit_of(chain.connector)).items()}
    return out


def _of_dictionary(part: SAEFolder) -> Mapping[str, Any]:
    said = part.metadata.get("neural_codes") or {}
    known = {name: said.get(name) for name in ("architecture", "k", "learning_rate", "auxiliary", "baseline")}
    return {
        "place": part.place,
        "features": part.n_features,
        "training tokens": part.metadata.get("training_tokens"),
        **known,
    }
