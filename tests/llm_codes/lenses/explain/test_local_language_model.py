"""The local simulator reads in one pass what one pass per token reads, for tokenizers that write 10 in one or two."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import torch

from eval.errors import UserError
from eval.explanation.explainers import Explanation
from eval.explanation.local_simulator import LocalSimulator, NumberPaths
from eval.explanation.simulators import Task, expected_value
from eval.torchvision_operators import declare_missing_operators
from llm_codes.lenses.explain.local_language_model import LocalLanguageModel
from llm_codes.models import load_model

TASK = Task(Explanation("words for weather"), ("We", " saw", " snow", ",\n", " and", " a", "\ufffd", " storm"))


def tiny_tokenizer(joined: bool):
    """Byte-level; `joined` adds one token for "10", as GPT-2 has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    merges = [("1", "0")] if joined else []
    vocabulary |= {"10": len(vocabulary)} if joined else {}
    vocabulary["<|end|>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>")


def tiny_language_model(kind: str, joined: bool, context: int = 2048) -> LocalLanguageModel:
    declare_missing_operators()
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(joined)
    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=len(tokenizer), n_positions=context, n_embd=32, n_layer=2, n_head=2, initializer_range=0.4
        )
        network = GPT2LMHeadModel(config)
    else:  # rotary positions: a branch at a wrong position shows
        network = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=context,
                initializer_range=0.4,
            )
        )
    with tempfile.TemporaryDirectory() as folder:  # TransformerLens wants a tokenizer that was loaded from a folder
        tokenizer.save_pretrained(folder)
        network.save_pretrained(folder)
        return LocalLanguageModel(load_model(folder))


def truncated_at_each_token(language_model: LocalLanguageModel, simulator: LocalSimulator, task: Task) -> np.ndarray:
    """The slow way: the same prompt cut at each slot, one whole forward pass each (two where 10 is two tokens)."""
    prompt, numbers = simulator.prompt(task), simulator.numbers
    rows = []
    for slot in prompt.slots:
        cut = [*prompt.prefix, *prompt.suffix[: slot + 1]]
        at = language_model.model.logits(torch.tensor([cut]))[0, -1].log_softmax(-1).detach().numpy()
        after = [
            language_model.model.logits(torch.tensor([[*cut, branch]]))[0, -1].log_softmax(-1).detach().numpy()
            for branch in numbers.branches
        ]
        rows.append(numbers.probabilities(at[None], np.array(after)[:, None])[0])
    return np.array(rows)


@pytest.mark.parametrize(("kind", "joined"), [("gpt2", True), ("gpt2", False), ("llama", False)])
def test_one_pass_equals_one_pass_per_token(kind: str, joined: bool) -> None:
    language_model = tiny_language_model(kind, joined)
    simulator = LocalSimulator(language_model)
    assert len(simulator.numbers.branches) == (0 if joined else 1)
    slow = truncated_at_each_token(language_model, simulator, TASK)
    assert slow.std() > 1e-3  # the answers differ from slot to slot, so agreement is not empty
    before = language_model.passes
    for _ in range(2):  # the second pass runs on the cached prefix
        (found,) = simulator.simulate([TASK])
        value, outside = expected_value(slow)
        np.testing.assert_allclose(found.values, value, atol=1e-4)
        np.testing.assert_allclose(found.outside, outside, atol=1e-4)
    assert language_model.passes - before == 3  # the prefix once, then one pass per window


@pytest.mark.parametrize(("kind", "joined"), [("gpt2", True), ("llama", False)])
def test_windows_of_unlike_length_in_one_pass_are_as_alone(kind: str, joined: bool) -> None:
    language_model = tiny_language_model(kind, joined)
    simulator = LocalSimulator(language_model)
    tasks = [
        TASK,
        Task(Explanation("", reason="nothing was said"), ("a", " b")),
        Task(Explanation("names"), (" Anna", " and")),
        Task(Explanation("a longer one about names of people"), (" Bert", " or", " Carl")),
    ]
    alone = [simulator.simulate([task])[0] for task in tasks]
    before = language_model.passes
    together = simulator.simulate(tasks)
    assert language_model.passes - before == 1
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)
        assert one.reason == other.reason
        if one.outside is not None:
            np.testing.assert_allclose(one.outside, other.outside, atol=1e-4)
    language_model.batch = 2
    simulator.simulate(tasks)
    assert language_model.passes - before == 3  # three windows, two at a time


def test_probabilities_of_zero_to_ten_never_exceed_one() -> None:
    simulator = LocalSimulator(tiny_language_model("llama", False))
    (probability,) = simulator.probabilities([simulator.prompt(TASK)])
    assert probability.shape == (8, 11) and (probability >= 0).all() and (probability.sum(1) <= 1 + 1e-6).all()


def test_number_paths_split_the_mass_of_one() -> None:
    paths = NumberPaths.of(lambda text: [ord(letter) for letter in text])
    slots = np.full((1, 128), -np.inf)
    slots[0, [ord("1"), ord("3")]] = np.log([0.6, 0.4])
    after = np.full((1, 1, 128), -np.inf)
    after[0, 0, [ord("0"), ord("\n")]] = np.log([0.75, 0.25])
    found = paths.probabilities(slots, after)[0]
    assert found[[1, 3, 10]].tolist() == pytest.approx([0.15, 0.4, 0.45]) and found.sum() == pytest.approx(1)


def test_a_tokenizer_with_longer_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="writes each of 0..10 in one or two tokens"):
        NumberPaths.of(lambda text: [ord(letter) for letter in text for _ in (0, 1)])


def test_a_prompt_longer_than_the_context_is_refused_with_its_length() -> None:
    simulator = LocalSimulator(tiny_language_model("gpt2", True, context=256))
    with pytest.raises(UserError, match="the prompt takes .* tokens, .* reads at most 256"):
        simulator.simulate([TASK])


def test_greedy_replies_do_not_depend_on_what_was_asked_before() -> None:
    language_model = tiny_language_model("llama", False)
    conversation = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "what?"}]
    other = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "who are you?"}]
    alone = language_model.ask([conversation], maximum_tokens=5)[0]
    again = language_model.ask([other, conversation], maximum_tokens=5)[1]
    assert alone.text == again.text and alone.top_logprobs and again.top_logprobs
    assert dict(again.top_logprobs[0][1]) == pytest.approx(alone.top_logprobs[0][1], abs=1e-4)


def test_replies_written_side_by_side_are_those_written_alone() -> None:
    language_model = tiny_language_model("llama", False)
    head = {"role": "system", "content": "Answer."}
    asked = [[head, {"role": "user", "content": text}] for text in ("what?", "who are you, and why?", "no", "where?")]
    alone = [language_model.ask([conversation], maximum_tokens=12)[0].text for conversation in asked]
    assert len(set(alone)) > 1  # so that a mix-up shows
    before = language_model.passes
    assert [reply.text for reply in language_model.ask(asked, maximum_tokens=12)] == alone
    assert language_model.passes - before <= 12
    language_model.batch = 3
    assert [reply.text for reply in language_model.ask(asked, maximum_tokens=12)] == alone


def test_the_log_probability_of_a_text_is_that_of_one_whole_pass() -> None:
    language_model = tiny_language_model("llama", False)
    model = language_model.model
    head, text = "a head, ", "and a text"
    found = language_model.text_logprobs([head, "", head], [text, text, text])
    whole = torch.tensor([[model.bos_token_id, *model.encode(head), *model.encode(text)]])
    logprobs = model.logits(whole)[0].log_softmax(-1).detach()
    n = len(model.encode(text))
    told = [float(logprobs[place - 1, whole[0, place]]) for place in range(whole.shape[1] - n + 1, whole.shape[1])]
    assert found[0] == pytest.approx(np.mean(told), abs=1e-4) == found[2] and found[0] != found[1]
    longer = language_model.text_logprobs([head, head], ["another text, which is longer", text])
    assert longer[1] == pytest.approx(found[0], abs=1e-4) and longer[0] != pytest.approx(found[0], abs=1e-4)
