"""The embedded model's tokenizer: a byte-level BPE learned on the training speeches only.

Every byte string can be written (256 byte tokens come first), nothing is normalised and no space is added, so
`decode(encode(text)) == text` for any text and bits per byte are well defined.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int):
    """Learn a byte-level BPE of `vocabulary` tokens, `<|endoftext|>` (id 0) among them, as GPT-2 splits words.

    Args:
        texts: training documents; no held-out text may be among them.
        vocabulary: number of tokens, at least 257 (256 bytes and the end of text).
        context: written as `model_max_length`.

    Returns:
        A `transformers` fast tokenizer whose BOS, EOS and unknown token are `<|endoftext|>`.
    """
    from transformers import PreTrainedTokenizerFast

    if vocabulary < 257:
        raise ValueError(f"expected a vocabulary of at least 257 (256 bytes and {END_OF_TEXT}); got {vocabulary}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
