"""Self-supervised networks against torchaudio's own models with the same weights, and their pooling by hand."""

import pytest
import torch
import torchaudio
from torch.nn import functional as F

from reseed.stages.backbones.wavlm import WavLM, WavLMConfig
from reseed.store import ConfigError, ModelError
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.checkpoints import TINY_TRANSFORMER, save, transformer

WAVE = torch.from_numpy(by_hand.waves(0.7))


def torchaudios(bundle: str) -> torchaudio.models.Wav2Vec2Model:
    """The network of a bundle, tiny, as torchaudio makes and loads it."""
    chosen = getattr(torchaudio.pipelines, bundle)
    make = torchaudio.models.wavlm_model if "WAVLM" in bundle else torchaudio.models.wav2vec2_model
    model = make(**chosen._params | TINY_TRANSFORMER)
    model.load_state_dict(transformer(bundle))
    return model.eval().requires_grad_(False)


def backbone(folder, bundle: str, state=None, **settings) -> WavLM:
    weights = save(state or transformer(bundle), folder / "weights.pth")
    return WavLM(WavLMConfig(bundle=bundle, weights=weights, architecture=TINY_TRANSFORMER, **settings)).frozen()


@pytest.mark.parametrize("bundle", ["WAVLM_BASE_PLUS", "WAVLM_LARGE", "HUBERT_BASE", "HUBERT_LARGE", "WAV2VEC2_BASE"])
def test_embeddings_are_the_means_of_torchaudios_layers(tmp_path, bundle):
    theirs, rows = torchaudios(bundle), []
    for wave_T in WAVE:
        if bundle.endswith("LARGE"):
            wave_T = (wave_T - wave_T.mean()) / (wave_T.var(unbiased=False) + 1e-5).sqrt()
        rows.append(torch.stack(theirs.extract_features(wave_T[None])[0]).mean(dim=(0, 1, 2)))
    by_hand.assert_agree(backbone(tmp_path, bundle)(WAVE), torch.stack(rows))


@pytest.mark.parametrize("layer", [1, 3])
def test_one_layer_can_be_chosen(tmp_path, layer):
    outputs, _ = torchaudios("WAVLM_BASE").extract_features(WAVE)
    by_hand.assert_agree(backbone(tmp_path, "WAVLM_BASE", layer=layer)(WAVE), outputs[layer - 1].mean(dim=1))


def test_attentive_pooling_reads_its_weights_from_the_same_file(tmp_path):
    shapes = checkpoints.affine("pooling.attention.0", 128, 32, 1) | checkpoints.affine(
        "pooling.attention.2", 32, 128, 1
    )
    state = transformer("WAVLM_BASE") | checkpoints.filled(shapes)
    ours = backbone(tmp_path, "WAVLM_BASE", state, pooling="attentive")
    assert ours.embedding_dim == 64
    outputs, _ = torchaudios("WAVLM_BASE").extract_features(WAVE)
    frame = torch.stack(outputs).mean(dim=0)
    hidden = F.linear(frame, state["pooling.attention.0.weight"][:, :, 0], state["pooling.attention.0.bias"]).tanh()
    weight = F.linear(hidden, state["pooling.attention.2.weight"][:, :, 0], state["pooling.attention.2.bias"]).softmax(
        1
    )
    mean = (frame * weight).sum(dim=1)
    spread = ((frame - mean[:, None]).square() * weight).sum(dim=1).clamp(min=1e-4).sqrt()
    by_hand.assert_agree(ours(WAVE), torch.cat([mean, spread], dim=1))


def test_attentive_pooling_without_weights_of_its_own_is_an_error(tmp_path):
    with pytest.raises(ModelError, match=r"pooling\.attention\.0\.weight is missing"):
        backbone(tmp_path, "WAVLM_BASE", pooling="attentive")


def test_weights_that_torchaudio_has_downloaded_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    config = WavLMConfig(bundle="WAVLM_BASE", architecture=TINY_TRANSFORMER)
    with pytest.raises(ConfigError, match=r"checkpoints/wavlm_base\.pth does not exist; give .* WAVLM_BASE"):
        WavLM(config)
    (tmp_path / "checkpoints").mkdir()
    save(transformer("WAVLM_BASE"), tmp_path / "checkpoints" / "wavlm_base.pth")
    assert torch.equal(WavLM(config).frozen()(WAVE), backbone(tmp_path, "WAVLM_BASE")(WAVE))


def test_settings_that_suit_no_network_are_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"layer is 4; WAVLM_BASE has 3 layers"):
        backbone(tmp_path, "WAVLM_BASE", layer=4)
    with pytest.raises(ModelError, match=r"conv_layers\.0\.conv\.weight is \[16, 1, 10\] in place of \[512, 1, 10\]"):
        WavLM(WavLMConfig(bundle="WAVLM_BASE", weights=tmp_path / "weights.pth"))
    wrong = WavLMConfig(bundle="WAVLM_BASE", weights=tmp_path / "weights.pth", architecture={"encoder_layers": 3})
    with pytest.raises(ConfigError, match=r"architecture does not suit wavlm_model: .*encoder_layers"):
        WavLM(wrong)
