import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reseed.stages.common.device import torch_device
from reseed.stages.enhancers.folder import ModelInfo, load_model, save_model
from reseed.stages.enhancers.regression import MseConfig
from reseed.stages.enhancers.table import make_enhancer
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.store import ConfigError, ModelError
from reseed.store.atomic import sha256_file
from reseed.store.sealed import write_record

HISTORY = [
    {"epoch": 1, "step": 2, "loss": 0.5, "pairs_per_s": 10, "lr": 0.1},
    {"epoch": 2, "step": 4, "loss": 0.25, "pairs_per_s": 10, "lr": 0.1},
]


def info(enhancer: str, config: dict, dim: int = 8) -> ModelInfo:
    return ModelInfo(
        enhancer=enhancer,
        config=config,
        dim=dim,
        space="ge2e:aaaaaaaa",
        store_fingerprint="0" * 64,
        store_path="stores/train",
        views=["clean", "noise"],
        utterances=12,
        seed=0,
    )


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model"
    save_model(path, make_enhancer("mse", MseConfig(), 8), info("mse", MseConfig().model_dump()), HISTORY)
    return path


def edit_info(model: Path, **changes: object) -> None:
    content = json.loads((model / "model.json").read_text())
    write_record(model / "model.json", content | changes)


def rewrite_weights(model: Path, state: dict[str, torch.Tensor]) -> None:
    """Exchange the weights, digest and all."""
    save_file(state, model / "model.safetensors")
    edit_info(model, weights_sha256=sha256_file(model / "model.safetensors"))


def test_model_directory_holds_weights_settings_history_and_card(model):
    assert sorted(path.name for path in model.iterdir()) == [
        "README.md",
        "model.json",
        "model.safetensors",
        "train.jsonl",
    ]
    assert [json.loads(line) for line in (model / "train.jsonl").read_text().splitlines()] == HISTORY
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_model_card_states_what_where_and_how(model):
    card = (model / "README.md").read_text()
    for fact in (
        "# MSE regression",
        "12 utterances of the store `stores/train`",
        "`ge2e:aaaaaaaa`",
        "clean, noise",
        load_model(model)[1].weights_sha256,
        "| lr | 0.0005 |",
        "Loss 0.5000 in the first epoch, 0.2500 in the last of 2 (4 steps",
    ):
        assert fact in card


def test_loaded_model_is_frozen(model):
    enhancer, _ = load_model(model)
    assert not enhancer.training
    assert not any(parameter.requires_grad for parameter in enhancer.parameters())


def test_new_model_replaces_the_old_one_whole(model):
    (model / "train.jsonl").write_text("of the old model")
    save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {"shrinkage": 1.0}, dim=4), [])
    assert load_model(model)[1].enhancer == "wccn"
    assert (model / "train.jsonl").read_text() == ""
    assert [path.name for path in model.parent.iterdir()] == ["model"]
    (model / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="or move 'notes.txt' out of it"):
        save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {}, dim=4), [])


def test_failed_save_leaves_the_old_model(model, monkeypatch):
    before = (model / "model.json").read_bytes()
    monkeypatch.setattr("reseed.stages.enhancers.folder.model_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {}, dim=4), [])
    assert (model / "model.json").read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_model_whose_json_was_removed_is_replaced(model):
    (model / "model.json").unlink()
    save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {}, dim=4), [])
    assert load_model(model)[1].dim == 4


def test_what_is_not_a_model_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(ModelError, match="exists and is not a model"):
        save_model(tmp_path, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {}, dim=4), [])
    assert (tmp_path / "thesis.tex").exists()


def test_missing_model_says_how_to_make_one(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere is not a model: it has no model.json; make one with `reseed train`"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", '{"enhancer": "mse"', "[]", "{}", "\x00\x01"])
def test_damaged_model_json_is_named(model, text):
    (model / "model.json").write_text(text)
    with pytest.raises(
        ModelError, match=r"model\.json is damaged \(.+\); make a model again with `reseed train`"
    ) as error:
        load_model(model)
    assert "\n" not in str(error.value)


def test_unknown_key_in_model_json_is_named(model):
    edit_info(model, ema=True)
    with pytest.raises(ModelError, match="ema: Extra inputs are not permitted"):
        load_model(model)


def test_model_of_an_unknown_enhancer_lists_the_choices(model):
    edit_info(model, enhancer="seed2")
    with pytest.raises(ModelError, match=r"no enhancer 'seed2'; choose one of centre, wccn, seed"):
        load_model(model)


def test_setting_out_of_range_is_named(model):
    edit_info(model, config={"lr": -1.0})
    with pytest.raises(ModelError, match="lr: Input should be greater than 0"):
        load_model(model)


def test_mismatching_shapes_are_both_named(model):
    edit_info(model, dim=16)
    with pytest.raises(ModelError, match=r"'network\.input_proj\.weight' is \[16, 8\].*calls for \[32, 16\]"):
        load_model(model)


def test_missing_tensor_is_named(model):
    state = load_file(model / "model.safetensors")
    del state["network.out.2.bias"]
    rewrite_weights(model, state)
    with pytest.raises(ModelError, match=r"model\.safetensors lacks tensor 'network\.out\.2\.bias'"):
        load_model(model)


def test_unknown_tensor_is_named(model):
    state = load_file(model / "model.safetensors")
    rewrite_weights(model, state | {"ema": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"model\.safetensors has an unknown tensor 'ema'"):
        load_model(model)


def test_truncated_weights_are_named(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        load_model(model)


def test_missing_weights_are_named(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        load_model(model)


def test_exchanged_weights_are_noticed_by_their_digest(model):
    other = make_enhancer("mse", MseConfig(), 8, seed=1)
    save_file(other.state_dict(), model / "model.safetensors")
    with pytest.raises(ModelError, match=r"was exchanged: model\.json has another SHA-256 of it"):
        load_model(model)


def test_weights_that_are_no_numbers_are_named(model):
    state = load_file(model / "model.safetensors")
    state["network.out.2.bias"][3] = torch.nan
    rewrite_weights(model, state)
    with pytest.raises(ModelError, match=r"tensor 'network\.out\.2\.bias' holds values that are not finite"):
        load_model(model)


def test_a_save_that_was_killed_is_never_taken_for_a_model(model):
    """Whatever file the kill comes before, the old model stays; its leftovers go with the next save."""
    before = load_model(model)[1]
    for process, written in enumerate(("model.safetensors", "train.jsonl", "README.md", "model.json")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.getpid", lambda process=process: (1 << 30) + process)  # of no process that lives
            patch.setattr("reseed.store.atomic.fsync", lambda path, written=written: die(path, written))
            patch.setattr("shutil.rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
            with pytest.raises(KeyboardInterrupt):
                save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {}, dim=4), [])
        assert load_model(model)[1] == before
    save_model(model, make_enhancer("wccn", WccnConfig(), 4), info("wccn", {"shrinkage": 1.0}, dim=4), [])
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def die(path: Path, written: str) -> None:
    if path.name.startswith(f".{written}"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["gpu", "cuda:99x", ""])
def test_unknown_device_is_a_config_error(name):
    with pytest.raises(ConfigError, match="is not a device; use cpu, cuda"):
        torch_device(name)
