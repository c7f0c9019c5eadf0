from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

from reseed.stages.audio.bank import AudioBank
from reseed.stages.audio.conditions import describe
from reseed.stages.audio.draw import (
    LEAD_SAMPLES,
    Draw,
    change_speed,
    combined_snr_db,
    crop_starts,
    direct_and_late,
    stable_seed,
    wrap_pad,
)
from reseed.stages.audio.draw import draw as draw_view
from reseed.stages.audio.manifest import Manifest, Utterance
from reseed.stages.audio.mix import at_snr, mix, reverberate
from reseed.stages.audio.recipe import CropSettings, View, sources_needed
from reseed.store import ManifestError
from reseed.store.atomic import sha256_file
from tests.corpus import voice, write_manifest, write_wave


def row(utterance_id: str, path: str = "x.wav", speaker: str | None = None, duration_s: float = 2.0) -> Utterance:
    sha256 = sha256_file(Path(path)) if Path(path).exists() else ""
    return Utterance(utterance_id, path, speaker, 0.0, duration_s, 16_000, 1, None, sha256)


@pytest.fixture
def bank(tmp_path):
    generator = np.random.default_rng(0)

    def sound(name: str) -> Utterance:
        path = write_wave(tmp_path / f"{name}.flac", 0.1 * generator.normal(size=8_000))
        return row(name, str(path), duration_s=0.5)

    sources = {kind: [sound(f"{kind}{index}") for index in range(3)] for kind in ("noise", "music", "rir")}
    voices = [row(f"u{s}", str(write_wave(tmp_path / f"u{s}.flac", voice(s, 0))), f"s{s}") for s in range(3)]
    return bank_of({**sources, "babble": voices}, tmp_path)


def bank_of(sources: dict[str, list[Utterance]], folder: Path) -> AudioBank:
    for kind, rows in sources.items():
        write_manifest(folder / f"{kind}.parquet", rows)
    return AudioBank({kind: Manifest(folder / f"{kind}.parquet") for kind in sources}, 16_000)


def draw(bank, view: View, seed: int = 1, speaker: str = "s0") -> Draw:
    return draw_view(voice(0, 1, 1.0), view, bank, seed=seed, speaker=speaker)


def rendered(*draws: Draw) -> np.ndarray:
    return mix(draws, 16_000).numpy()


EFFECTS = {  # every effect of a view, with a value
    "speed": 1.25,
    "reverb": True,
    "noise": 5,
    "music": 5,
    "babble": 5,
    "volume": -6,
    "telephony": True,
    "mu_law": True,
    "codec": "gsm",
}


def test_every_effect_of_a_view_is_tested():
    assert set(EFFECTS) == set(View.model_fields) - {"chance"}


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_changes_the_sound_and_the_same_seed_gives_the_same_in_any_batch(bank, effect):
    view = View(**{effect: EFFECTS[effect]})
    plain, one, again = rendered(draw(bank, View()), draw(bank, view, 3), draw(bank, view, 3))
    assert not np.allclose(one, plain, atol=1e-4)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(rendered(draw(bank, view, 3))[0], one, atol=1e-6)


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_is_applied_by_chance(bank, effect):
    view = View(**{effect: EFFECTS[effect]}, chance=0.5)
    plain = rendered(draw(bank, View()))[0]
    is_plain = [np.array_equal(rendered(draw(bank, view, seed))[0], plain) for seed in range(12)]
    assert 0 < sum(is_plain) < 12


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_makes_a_condition_of_its_own_that_is_not_clean(effect):
    (found,) = describe({"clean": {}, "other": View(**{effect: EFFECTS[effect]}).recipe()})
    assert (found["clean"].is_clean, found["other"].is_clean) == (True, False)
    assert found["other"].label not in ("clean", "other")


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 15.0])
def test_noise_is_added_at_exactly_the_snr_asked_for(bank, snr_db):
    clean = voice(0, 1, 1.0)
    noise = rendered(draw(bank, View(noise=snr_db)))[0] - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.01)


def test_a_range_gives_an_snr_inside_it_that_the_rendering_records(bank):
    found = [draw(bank, View(music=(5, 15)), seed).snr_db for seed in range(50)]
    assert 5 <= min(found) < 7
    assert 13 < max(found) <= 15


def test_the_clean_view_is_the_recording_itself(bank):
    rendering = draw(bank, View())
    np.testing.assert_array_equal(rendered(rendering)[0], voice(0, 1, 1.0))
    assert (rendering.noise_ids, rendering.snr_db, rendering.rir_id) == ([], None, None)


def test_babble_is_made_of_three_to_seven_utterances_of_other_speakers(bank):
    for seed in range(20):
        ids = draw(bank, View(babble=5), seed).noise_ids
        assert 3 <= len(ids) <= 7
        assert "u0" not in ids


def test_a_combination_records_all_it_is_made_of(bank):
    rendering = draw(bank, View(reverb=True, noise=10, babble=10))
    assert rendering.rir_id in ("rir0", "rir1", "rir2")
    assert rendering.noise_ids[0].startswith("noise")
    assert rendering.snr_db == pytest.approx(10 - 10 * np.log10(2), abs=1e-6)


def test_the_same_seed_gives_the_same_rendering_and_another_seed_another(bank):
    view = View(reverb=True, noise=(0, 15))
    np.testing.assert_array_equal(rendered(draw(bank, view, 7)), rendered(draw(bank, view, 7)))
    assert not np.array_equal(rendered(draw(bank, view, 7)), rendered(draw(bank, view, 8)))


def test_a_view_without_its_source_and_silent_noise_are_named(tmp_path):
    silent = row("hush", str(write_wave(tmp_path / "hush.wav", np.zeros(32_000))))
    with pytest.raises(ManifestError, match="no noise recording to draw from"):
        draw(bank_of({}, tmp_path), View(noise=5))
    with pytest.raises(ManifestError, match="draws of noise were all silent"):
        draw(bank_of({"noise": [silent]}, tmp_path), View(noise=5))
    cut = row("cut", str(write_wave(tmp_path / "cut.wav", np.ones(100))))
    with pytest.raises(ManifestError, match=r"cut\.wav is cut short.*prepare the noise again"):
        draw(bank_of({"noise": [cut]}, tmp_path), View(noise=5))
    alone = bank_of({"babble": [row("u0", speaker="s0")]}, tmp_path)
    with pytest.raises(ManifestError, match="no speaker other than s0"):
        draw(alone, View(babble=5))


def test_reverberation_keeps_length_and_the_place_of_the_direct_path():
    impulse = np.zeros(100, np.float32)
    impulse[10] = 1.0
    direct = np.array([0.05, 0.4, 0.9, 0.4, 0.05])  # band-limited: it rises before its peak
    rir = np.concatenate([np.zeros(100), direct, np.zeros(5), [1.0, 0.5], np.zeros(30)]).astype(np.float32)
    (wet,) = reverberate(torch.from_numpy(impulse)[None], torch.from_numpy(direct_and_late(rir, 100))[None]).numpy()
    assert wet.shape == impulse.shape
    assert np.argmax(np.abs(wet)) == 19, "the reflection, louder than the direct sound, comes nine samples later"
    assert np.sum(wet**2) == pytest.approx(1.0, rel=1e-4), "nothing of the direct sound is lost"


def test_hand_worked_figures():
    assert combined_snr_db([]) is None
    assert combined_snr_db([10.0, 10.0]) == pytest.approx(6.9897, abs=1e-4)
    np.testing.assert_allclose(at_snr(torch.full((1, 4), 2.0), torch.ones(1), torch.tensor([20.0])), 0.1, rtol=1e-6)
    np.testing.assert_array_equal(wrap_pad(np.array([1, 2, 3], np.float32), 5), [1, 2, 3, 1, 2])
    assert stable_seed(0, "u", "noise", 1) == 7141778742987548830


def test_crops_from_end_to_end_are_those_of_the_published_evaluation():
    settings = CropSettings(count=10, duration_s=2.0, placement="ends")
    utterance = row("u", duration_s=7.0001875)
    audiosize, max_audio = round(7.0001875 * 16_000), 2 * 16_000
    published = [int(start) for start in np.linspace(0, audiosize - max_audio, num=10)]
    starts = [start * 16_000 for start in crop_starts(settings, utterance, 0)]
    assert starts == published
    assert crop_starts(CropSettings(duration_s=2.0, placement="ends"), utterance, 0) == [0.0]
    assert crop_starts(settings, row("u", duration_s=1.0), 0) == [0.0] * 10


def test_even_crops_are_spread_and_random_ones_stay_inside():
    even = crop_starts(CropSettings(count=2, duration_s=1.0, placement="even"), row("u", duration_s=5.0), 0)
    assert even == [1.0, 3.0]
    random = crop_starts(CropSettings(count=100, duration_s=1.0), row("u", duration_s=5.0), 0)
    assert 0 <= min(random) < 0.5
    assert 3.5 < max(random) <= 4.0
    assert crop_starts(CropSettings(count=2, duration_s=9.0), row("u", duration_s=5.0), 0) == [0.0, 0.0]


def test_views_say_what_they_need_and_are_written_short():
    views = {"a": View(reverb=True), "b": View(noise=(0, 15)), "c": View(babble=5)}
    assert sources_needed(views) == ["noise", "babble", "rir"]
    assert [view.recipe() for view in views.values()] == [{"reverb": True}, {"noise": [0, 15]}, {"babble": 5}]


def test_a_response_longer_than_the_crop_gives_what_plain_convolution_gives():
    generator = np.random.default_rng(0)
    speech, rir = generator.normal(size=(2, 400)).astype(np.float32), np.zeros(3_000, np.float32)
    rir[5:] = generator.normal(size=2_995) * np.exp(-np.arange(2_995) / 500)
    cut = direct_and_late(rir, 400)
    assert cut.shape == (400 + LEAD_SAMPLES,)
    wet = reverberate(torch.from_numpy(speech), torch.from_numpy(np.stack([cut, cut]))).numpy()
    onset = int(np.argmax(np.abs(rir) >= 0.3 * np.abs(rir).max()))
    start = max(0, onset - LEAD_SAMPLES)
    whole = rir[start:] / np.linalg.norm(rir[start:])
    expected = np.stack([fftconvolve(row, whole)[onset - start :][:400] for row in speech])
    np.testing.assert_allclose(wet, expected, atol=1e-4)


def test_no_row_depends_on_the_others_in_its_batch(bank):
    everything = View(
        speed=(0.9, 1.1), reverb=True, noise=(0, 20), music=(0, 20), babble=(0, 20), volume=(-10, 10), telephony=True,
        mu_law=True, codec=("mp3", "opus", "vorbis", "gsm"), chance=0.5,
    )  # fmt: skip
    drawn = [draw(bank, everything, seed) for seed in range(24)]
    assert {effect.split()[0] for each in drawn for effect in each.effects} == {
        "speed", "volume", "telephony", "mu_law", "mp3", "opus", "vorbis", "gsm",
    }  # fmt: skip
    assert 0 < sum(each.rir_id is not None for each in drawn) < 24
    together, alone = rendered(*drawn), np.concatenate([rendered(each) for each in drawn])
    coded = [each.codec is not None or each.mu_law for each in drawn]  # one rounding apart may be one code word apart
    np.testing.assert_allclose(together[~np.array(coded)], alone[~np.array(coded)], atol=1e-6)
    cosines = np.sum(together * alone, axis=1) / np.linalg.norm(together, axis=1) / np.linalg.norm(alone, axis=1)
    assert cosines.min() > 0.999


def test_telephony_takes_what_lies_above_four_kilohertz(bank):
    spectrum = np.abs(np.fft.rfft(rendered(draw(bank, View(noise=0)), draw(bank, View(noise=0, telephony=True))))) ** 2
    share = spectrum[:, 8_000 * 9 // 16 :].sum(axis=1) / spectrum.sum(axis=1)  # above 4.5 of 8 kHz
    assert share[0] > 0.1 > 0.001 > share[1]


@pytest.mark.parametrize("codec", ["mp3", "opus", "vorbis", "gsm"])
def test_a_codec_keeps_place_and_length_and_changes_the_sound(bank, codec):
    plain, coded = rendered(draw(bank, View()), draw(bank, View(codec=codec)))
    assert coded.shape == plain.shape
    assert not np.array_equal(coded, plain)
    assert np.argmax(np.correlate(plain, coded, "same")) == len(plain) // 2


@pytest.mark.parametrize("codec", ["mp3", "opus", "vorbis", "gsm"])
def test_a_codec_clips_what_is_louder_than_full_scale_and_never_wraps_it(bank, codec):
    loud = draw(bank, View()), draw(bank, View(codec=codec))
    plain, coded = rendered(*(replace(each, speech=5 * each.speech) for each in loud))
    assert np.abs(plain).max() > 1.5
    assert np.corrcoef(plain.clip(-1, 1), coded)[0, 1] > 0.95


def test_speed_changes_pitch_and_keeps_the_length(bank):
    tone = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000).astype(np.float32)
    assert len(change_speed(tone, 1.25)) == 12_800
    assert np.argmax(np.abs(np.fft.rfft(change_speed(tone, 1.25)))) == 400
    assert draw(bank, View(speed=1.1)).effects == ["speed 1.10"]
    assert len(draw(bank, View(speed=0.5)).speech) == 16_000


def test_volume_clips_what_leaves_the_range(bank):
    assert np.abs(rendered(draw(bank, View(volume=60)))).max() == 1.0


def test_of_long_recordings_only_what_is_needed_is_read(bank, tmp_path, monkeypatch):
    path = write_wave(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=70 * 16_000))
    long = bank_of({"noise": [row("long", str(path), duration_s=70.0)]}, tmp_path)
    monkeypatch.setattr(long, "whole", None)
    assert draw(long, View(noise=0)).noise_ids == ["long"]
