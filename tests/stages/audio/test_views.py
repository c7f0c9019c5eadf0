from pathlib import Path

import numpy as np
import pytest

from stages.audio.bank import AudioBank
from stages.audio.manifest import Utterance
from stages.audio.recipe import CropSettings, View, sources_needed
from stages.audio.views import at_snr, combined_snr_db, crop_starts, render, reverberate, stable_seed, wrap_pad
from store import ManifestError
from store.atomic import sha256_file
from tests.corpus import voice, write_wave


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
    return AudioBank({**sources, "babble": voices}, 16_000)


def draw(bank, view: View, seed: int = 1, speaker: str = "s0"):
    return render(voice(0, 1, 1.0), view, bank, seed=seed, speaker_id=speaker, utterance_id="u")


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 15.0])
def test_noise_is_added_at_exactly_the_snr_asked_for(bank, snr_db):
    clean = voice(0, 1, 1.0)
    noise = draw(bank, View(noise=snr_db)).waveform - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.01)


def test_a_range_gives_an_snr_inside_it_that_the_rendering_records(bank):
    found = [draw(bank, View(music=(5, 15)), seed).snr_db for seed in range(50)]
    assert 5 <= min(found) < 7
    assert 13 < max(found) <= 15


def test_the_clean_view_is_the_recording_itself(bank):
    rendering = draw(bank, View())
    np.testing.assert_array_equal(rendering.waveform, voice(0, 1, 1.0))
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
    np.testing.assert_array_equal(draw(bank, view, 7).waveform, draw(bank, view, 7).waveform)
    assert not np.array_equal(draw(bank, view, 7).waveform, draw(bank, view, 8).waveform)


def test_a_view_without_its_source_and_silent_noise_are_named(tmp_path):
    silent = row("hush", str(write_wave(tmp_path / "hush.wav", np.zeros(32_000))))
    with pytest.raises(ManifestError, match="no noise recording to draw from"):
        draw(AudioBank({}, 16_000), View(noise=5))
    with pytest.raises(ManifestError, match="draws of noise were all silent"):
        draw(AudioBank({"noise": [silent]}, 16_000), View(noise=5))
    cut = row("cut", str(write_wave(tmp_path / "cut.wav", np.ones(100))))
    with pytest.raises(ManifestError, match=r"cut\.wav is cut short.*prepare the noise again"):
        draw(AudioBank({"noise": [cut]}, 16_000), View(noise=5))
    alone = AudioBank({"babble": [row("u0", speaker="s0")]}, 16_000)
    with pytest.raises(ManifestError, match="no speaker other than s0"):
        draw(alone, View(babble=5))


def test_reverberation_keeps_length_and_the_place_of_the_direct_path():
    impulse = np.zeros(100, np.float32)
    impulse[10] = 1.0
    direct = np.array([0.05, 0.4, 0.9, 0.4, 0.05])  # band-limited: it rises before its peak
    rir = np.concatenate([np.zeros(100), direct, np.zeros(5), [1.0, 0.5], np.zeros(30)]).astype(np.float32)
    wet = reverberate(impulse, rir)
    assert wet.shape == impulse.shape
    assert np.argmax(np.abs(wet)) == 19, "the reflection, louder than the direct sound, comes nine samples later"
    assert np.sum(wet**2) == pytest.approx(1.0, rel=1e-4), "nothing of the direct sound is lost"


def test_hand_worked_figures():
    assert combined_snr_db([]) is None
    assert combined_snr_db([10.0, 10.0]) == pytest.approx(6.9897, abs=1e-4)
    np.testing.assert_allclose(at_snr(np.full(4, 2.0, np.float32), np.ones(4, np.float32), 20.0), 0.1, rtol=1e-6)
    np.testing.assert_array_equal(wrap_pad(np.array([1, 2, 3], np.float32), 5), [1, 2, 3, 1, 2])
    assert stable_seed(0, "u", "noise", 1) == 7141778742987548830


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
