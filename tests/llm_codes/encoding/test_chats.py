"""Chats through the tokenizer's own template: which tokens a role said, and every chat that cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.errors import UserError
from llm_codes.configs.inputs import InputsOptions
from llm_codes.corpus import load_corpus
from llm_codes.encoding.chats import chat_text, role_spans
from llm_codes.encoding.document import Document, Message
from llm_codes.inputs import open_inputs
from llm_codes.models import load_model

TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}<system>be kind\n{% endif %}"
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | trim }}\n{% endfor %}"
)
FORGETFUL = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'].split('|')[-1] }}{% endfor %}"
STRICT = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('user first') }}{% endif %}"


def chat(number: int = 0) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"assistant, is the cat number {number} on the mat?"},
        {"role": "assistant", "content": f" the cat {number} sat on the mat, and the dog ran after the cat. "},
        {"role": "user", "content": "the cat"},
        {"role": "assistant", "content": "the cat sat on the mat"},
    ]


def document(messages: list[dict[str, str]]) -> Document:
    return Document.of("#0", tuple(Message(one["role"], one["content"]) for one in messages))


@pytest.fixture
def tokenizer(tiny_model_folder):
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(tiny_model_folder)
    found.chat_template = TEMPLATE
    return found


def counted_texts(corpus, tokenizer) -> list[str]:
    """What counts in each window, as text, less the BOS."""
    rows = zip(corpus.tokens, corpus.mask, strict=True)
    return [tokenizer.decode(tokens[mask][1:].tolist()) for tokens, mask in rows]


def test_the_spans_of_a_role_are_what_it_said(tokenizer):
    one = document(chat())
    text = chat_text(one, tokenizer)
    said = [text[start:end] for start, end in role_spans(one, tokenizer, text, ["assistant"])]
    assert said == [message["content"].strip() for message in chat() if message["role"] == "assistant"]
    asked = [text[start:end] for start, end in role_spans(one, tokenizer, text, ["user"])]
    assert asked == [chat()[0]["content"], "the cat"]


def test_only_the_tokens_of_the_roles_count_and_all_are_read(tokenizer):
    chats = [chat(number) for number in range(12)]
    how = {"context": 256, "n_tokens": None, "chat_template": True}
    whole = load_corpus(chats, tokenizer, **how)
    answers = load_corpus(chats, tokenizer, **how, roles="assistant")
    assert np.array_equal(whole.tokens, answers.tokens) and np.array_equal(whole.lengths, answers.lengths)
    assert whole.n_tokens == (whole.lengths - 1).sum() > 2 * answers.n_tokens > 0
    expected = ["".join(m["content"].strip() for m in one if m["role"] == "assistant") for one in chats]
    assert sorted(text.replace(" ", "") for text in counted_texts(answers, tokenizer)) == sorted(
        text.replace(" ", "") for text in expected
    )
    bos = tokenizer.bos_token_id
    assert (answers.tokens[:, 0] == bos).all() and not (answers.tokens[:, 1] == bos).any()  # one BOS, the window's
    assert answers.describe()["roles"] == ["assistant"] and whole.describe()["roles"] == "all"
    batch = next(answers.batches(4))
    assert batch.tokens.shape == batch.mask.shape == (4, int(answers.lengths[:4].max()))


def test_rows_with_a_nested_column_of_messages(tmp_path, tokenizer):
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps({"meta": {"messages": chat(number)}}) for number in range(12)))
    found = load_corpus(str(path), tokenizer, text_column="meta.messages", chat_template=True, roles=["assistant"])
    assert found.n_documents == 12


def test_a_verb_reads_chats(tiny_model_folder, tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"messages": chat(number)}) for number in range(12)))
    inputs = open_inputs(
        model=str(tiny_model_folder),
        tokenizer=str(tmp_path / "tokenizer"),
        corpus=str(tmp_path / "chats.jsonl"),
        text_column="messages",
        chat_template=True,
        roles=("assistant",),
    )
    assert inputs.windows(32).n_tokens and inputs.positions().endswith("Only what assistant said counts.")
    assert inputs.provenance()["corpus"]["roles"] == ["assistant"]


def test_chats_that_cannot_be_read(tokenizer, tiny_model_folder):
    for template, roles, text in (
        (
            FORGETFUL,
            "assistant",
            "changes what messages of #0 say, so that --roles cannot be told apart there; leave out",
        ),
        (STRICT, (), "the chat template refuses #0: user first; mend its messages, or leave it out"),
        (None, (), "expected a tokenizer with a chat template; this one has none; use an instruct model's, or leave"),
    ):
        tokenizer.chat_template = template
        with pytest.raises(UserError, match=text):
            load_corpus([[{"role": "assistant", "content": "so|the cat"}]], tokenizer, chat_template=True, roles=roles)
    tokenizer.chat_template = TEMPLATE
    for source, how, text in (
        ([chat()], {}, "expected a text in #0; got a chat; pass --chat-template"),
        (["a text"], {"chat_template": True}, "expected a chat in #0, a list of messages with role and content; got a"),
        ([[1, 2]], {"chat_template": True}, "expected a chat in #0; got token ids"),
        ([chat()], {"chat_template": True, "roles": "tool"}, "no document of .* has 8 tokens said by tool"),
        ([[{"from": "user", "value": "x"}]], {}, "expected messages with a role and a content, both texts, in item 0"),
    ):
        with pytest.raises(UserError, match=text):
            load_corpus(source, tokenizer, **how)
    with pytest.raises(UserError, match="expected --chat-template beside --roles assistant; got none; pass both"):
        InputsOptions(roles=("assistant",))
    tokens = load_model(str(tiny_model_folder)).tokenizer
    assert not tokens.chat_template
