"""Explainers of what a unit does: they print the tokens that it makes likelier, and need no language model.

`--explainer logit-effect` reads them off the logits, `--explainer steering-effect` finds them by raising the unit. The
words are scored like any other: simulation asks whether the unit *fires* on the tokens that it promotes, the scorer
``intervention`` whether the steered model *says* them. They are registered as anybody's explainer is:

    @register_explainer("suppressed")
    def suppressed(records, does):            # a second argument is given what the unit does
        return printed_tokens(does.logits().suppressed)
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.explanation.outputs.effects import Does
from eval.explanation.records import Record
from eval.explanation.registry import register_explainer
from eval.explanation.rules.printing import printed
from eval.explanation.rules.rule import FULL, Clause, Rule, quoted

LOGIT_EFFECT, STEERING_EFFECT = "logit-effect", "steering-effect"
NAMES = (LOGIT_EFFECT, STEERING_EFFECT)


def printed_tokens(effect: Sequence[tuple[str, float]]) -> str:
    """The tokens of an effect as the rule that prints them: bare words, so that their order is the only level."""
    words = dict.fromkeys(quoted(token) for token, _ in effect)
    return printed(Rule("words", tuple(Clause((word,), FULL) for word in words)))


@register_explainer(LOGIT_EFFECT)
def logit_effect(records: list[Record], does: Does) -> str:
    """The tokens that the unit's direct effect on the logits promotes most."""
    return printed_tokens(does.logits().promoted)


@register_explainer(STEERING_EFFECT)
def steering_effect(records: list[Record], does: Does) -> str:
    """The tokens whose logit rises most when the unit is raised in texts of the explain documents."""
    return printed_tokens(does.steering().promoted)
