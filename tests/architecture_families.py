"""The families the suite is checked on: class, configuration class and shape of a small random model of each."""

from __future__ import annotations

from typing import Any

ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
NO_GROUPS = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    **ENDS,
}
COMMON = {**NO_GROUPS, "num_key_value_heads": 2}
HEADS = {**COMMON, "head_dim": 16}
GPT = {"vocab_size": 320, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, **ENDS}
MAMBA = {"vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 8, **ENDS}
FALCON = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT),
    "GPT-Neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            "vocab_size": 320,
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
            "window_size": 8,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "Pythia, GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", NO_GROUPS),
    "GPT-NeoX, sequential": ("GPTNeoXForCausalLM", "GPTNeoXConfig", {**NO_GROUPS, "use_parallel_residual": False}),
    "GPT-J": ("GPTJForCausalLM", "GPTJConfig", {**GPT, "rotary_dim": 8}),
    "OPT, odd MLP width": ("OPTForCausalLM", "OPTConfig", {**NO_GROUPS, "ffn_dim": 96, "word_embed_proj_dim": 64}),
    "BLOOM": ("BloomForCausalLM", "BloomConfig", {"vocab_size": 320, "hidden_size": 64, "n_layer": 2, "n_head": 4}),
    "MPT": (
        "MptForCausalLM",
        "MptConfig",
        {"vocab_size": 320, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    ),
    "Falcon": (
        "FalconForCausalLM",
        "FalconConfig",
        FALCON,
    ),
    "Falcon, new decoder": (
        "FalconForCausalLM",
        "FalconConfig",
        {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True},
    ),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", COMMON),
    "Mistral": ("MistralForCausalLM", "MistralConfig", COMMON),
    "Qwen 2": ("Qwen2ForCausalLM", "Qwen2Config", COMMON),
    "Qwen 3": ("Qwen3ForCausalLM", "Qwen3Config", HEADS),
    "Gemma 1": ("GemmaForCausalLM", "GemmaConfig", HEADS),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", HEADS),
    "Gemma 3": ("Gemma3ForCausalLM", "Gemma3TextConfig", HEADS),
    "OLMo": ("OlmoForCausalLM", "OlmoConfig", COMMON),
    "OLMo 2": ("Olmo2ForCausalLM", "Olmo2Config", COMMON),
    "OLMo 3": ("Olmo3ForCausalLM", "Olmo3Config", COMMON),
    "Granite": ("GraniteForCausalLM", "GraniteConfig", {**COMMON, "residual_multiplier": 0.3}),
    "Phi": ("PhiForCausalLM", "PhiConfig", COMMON),
    "Phi 3": ("Phi3ForCausalLM", "Phi3Config", COMMON),
    "Cohere": ("CohereForCausalLM", "CohereConfig", COMMON),
    "Cohere 2": ("Cohere2ForCausalLM", "Cohere2Config", COMMON),
    "StableLM": ("StableLmForCausalLM", "StableLmConfig", COMMON),
    "StarCoder 2": ("Starcoder2ForCausalLM", "Starcoder2Config", COMMON),
    "StarCoder, GPT-BigCode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", GPT),
    "SmolLM 3": ("SmolLM3ForCausalLM", "SmolLM3Config", COMMON),
    "Nemotron": ("NemotronForCausalLM", "NemotronConfig", COMMON),
    "GLM": ("GlmForCausalLM", "GlmConfig", HEADS),
    "GLM 4": ("Glm4ForCausalLM", "Glm4Config", HEADS),
    "Mixtral": ("MixtralForCausalLM", "MixtralConfig", {**COMMON, "num_local_experts": 4}),
    "Qwen 2 MoE": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        {**COMMON, **EXPERTS, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    ),
    "Qwen 3 MoE": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", {**HEADS, **EXPERTS, "moe_intermediate_size": 32}),
    "OLMoE": (
        "OlmoeForCausalLM",
        "OlmoeConfig",
        {
            **COMMON,
            **EXPERTS,
        },
    ),
    "gpt-oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        {**HEADS, "intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "DeepSeek V3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        {
            **COMMON,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 8,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 16,
            "first_k_dense_replace": 1,
        },
    ),
    "Mamba": ("MambaForCausalLM", "MambaConfig", MAMBA),
    "Mamba 2": (
        "Mamba2ForCausalLM",
        "Mamba2Config",
        {**MAMBA, "num_heads": 8, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    ),
    "Jamba": (
        "JambaForCausalLM",
        "JambaConfig",
        {
            **COMMON,
            "num_experts": 2,
            "use_mamba_kernels": False,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
        },
    ),
    "RWKV 4": (
        "RwkvForCausalLM",
        "RwkvConfig",
        {
            "vocab_size": 320,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "attention_hidden_size": 64,
            "context_length": 64,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "XGLM": (
        "XGLMForCausalLM",
        "XGLMConfig",
        {
            "vocab_size": 320,
            "d_model": 64,
            "num_layers": 2,
            "attention_heads": 4,
            "ffn_dim": 128,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
        },
    ),
    "CodeGen": ("CodeGenForCausalLM", "CodeGenConfig", {**GPT, "rotary_dim": 8}),
    "Persimmon": ("PersimmonForCausalLM", "PersimmonConfig", NO_GROUPS),
    "BERT": ("BertLMHeadModel", "BertConfig", NO_GROUPS),
    "BART": (
        "BartForConditionalGeneration",
        "BartConfig",
        {
            "vocab_size": 320,
            "d_model": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
            "max_position_embeddings": 64,
        },
    ),
    "T5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": 320, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    ),
}
