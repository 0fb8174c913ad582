"""Models by their numbers: parameters as published, bytes of caches as computed by hand, config.json files."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm import catalogue, load_model, models
from gpuprobe.llm.model import expected_experts

PUBLISHED = {  # safetensors of the models' repositories
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "gpt2": 124_439_808,
    "gemma-2-9b": 9_241_705_984,
    "opt-1.3b": 1_315_758_080,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_are_those_that_are_published(name, parameters):
    assert load_model(name).parameters == parameters


def test_a_token_of_mixtral_meets_two_of_eight_experts():
    # 12.9 B by the paper, which counts the token embedding (131 M) too
    model = load_model("mixtral-8x7b")
    assert (model.active_parameters + model.vocab * model.hidden) / 1e9 == pytest.approx(12.9, abs=0.05)


@pytest.mark.parametrize(
    ("name", "bytes_per_token"),
    [
        ("llama-3-8b", 131_072),
        ("llama-2-7b", 524_288),
        ("llama-3-70b", 327_680),
        ("gpt2", 36_864),
        ("gemma-2-9b", 344_064),
    ],
)
def test_bytes_of_keys_and_values_by_hand(name, bytes_per_token):
    # 2 · layers · heads of keys · head · 2 bytes: for Llama 3 8B 2 · 32 · 8 · 128 · 2
    model = load_model(name)
    assert model.kv_bytes_per_token(2) == bytes_per_token
    assert model.kv_bytes(100, 2) == 100 * bytes_per_token


def test_windows_bound_the_cache():
    mistral, gemma = load_model("mistral-7b"), load_model("gemma-2-9b")
    assert mistral.kv_bytes(10_000, 2) == mistral.kv_bytes(4096, 2) == 4096 * 131_072
    assert gemma.kv_bytes(8192, 2) == (21 * 8192 + 21 * 4096) * 2 * 8 * 256 * 2


@given(st.integers(1, 10_000))
def test_expected_experts_lie_between_those_of_one_token_and_all(tokens):
    found = expected_experts(8, 2, tokens)
    assert 2.0 <= found <= 8.0
    assert found <= expected_experts(8, 2, tokens + 1)
    assert expected_experts(8, 2, 1) == 2.0


CONFIGS = {
    "llama-3-8b": {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
    },
    "qwen2.5-7b": {
        "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "max_position_embeddings": 131072,
        "sliding_window": 131072, "use_sliding_window": False,
    },
    "mistral-7b": {
        "model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768,
        "sliding_window": 4096,
    },
    "mixtral-8x7b": {
        "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768,
        "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": None,
    },
    "gemma-2-9b": {
        "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14336, "vocab_size": 256000,
        "max_position_embeddings": 8192, "sliding_window": 4096,
    },
    "gpt2": {
        "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257,
        "n_inner": None,
    },
    "opt-1.3b": {
        "model_type": "opt", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32, "ffn_dim": 8192,
        "vocab_size": 50272, "max_position_embeddings": 2048,
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "config"), CONFIGS.items())
def test_a_config_file_gives_the_model_of_the_catalogue(tmp_path, name, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    found, known = load_model(str(tmp_path / "config.json")), load_model(name)
    same = ("parameters", "active_parameters", "window", "window_every", "max_context", "head_width", "kv_heads")
    assert [getattr(found, key) for key in same] == [getattr(known, key) for key in same]
    assert found.name == tmp_path.name


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}",
        '{"model_type": "llama"}', '{"model_type": ["llama"]}', '{"model_type": "deepseek_v3"}', "\udcff",
        json.dumps({**CONFIGS["llama-3-8b"], "hidden_size": -4096}),
        json.dumps({**CONFIGS["llama-3-8b"], "hidden_size": "4096"}),
        json.dumps({**CONFIGS["llama-3-8b"], "num_hidden_layers": 1.5}),
        json.dumps({**CONFIGS["llama-3-8b"], "vocab_size": 10**400}),
        json.dumps({**CONFIGS["llama-3-8b"], "hidden_size": 16}),  # less than one column a head
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_bad_config_file_is_an_error(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GpuprobeError):
        load_model(str(path))


def test_an_absent_config_file_is_an_error(tmp_path):
    with pytest.raises(GpuprobeError, match="cannot read"):
        load_model(str(tmp_path / "config.json"))


def test_an_unknown_model_is_answered_with_similar_names():
    with pytest.raises(GpuprobeError, match="llama-3-8b"):
        load_model("llama3-8b")


def test_a_file_of_models_with_a_wrong_number_is_an_error(tmp_path):
    text = (catalogue.FOLDER / "gemma.toml").read_text(encoding="utf-8").replace("layers = 42", "layers = 41")
    (tmp_path / "gemma.toml").write_text(text, encoding="utf-8")
    with pytest.raises(GpuprobeError, match="published 9241705984"):
        catalogue.read_family(tmp_path / "gemma.toml")


def test_every_model_has_a_source_and_a_unique_name():
    listed = [
        row["name"] for path in catalogue.FOLDER.glob("*.toml") for row in tomllib.loads(path.read_text())["models"]
    ]
    assert len(listed) == len(set(listed)) == len(models())
    assert all(model.source for model in models().values())
