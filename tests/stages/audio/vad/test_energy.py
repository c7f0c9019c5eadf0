"""Kaldi's compute-vad, on signals whose energies are worked out by hand."""

import numpy as np
import pytest

from reseed.stages.audio.vad.blocks import BLOCK_SAMPLES, even_blocks
from reseed.stages.audio.vad.energy import energy_speech, log_energies, speech_frames
from reseed.stages.audio.vad_settings import EnergySettings

# Of each 10 ms, how many steps of 16 bits every sample lies above and below zero, in turn.
LEVELS = np.array([2] * 10 + [1_000] * 4 + [2] * 6)
DITHER = 399  # what Kaldi's dither adds to the energy of 400 samples less their mean, on average


def alternating(levels: np.ndarray) -> np.ndarray:
    sign_T = np.tile([1, -1], 80 * len(levels))
    return (sign_T * np.repeat(levels, 160) / 32_768).astype(np.float32)


def test_a_frame_is_10_ms_with_7_and_a_half_on_either_side():
    levels = np.array([3.0, 5.0, 7.0])
    wanted = [
        120 * 9 + 160 * 9 + 120 * 25,  # the beginning is reflected
        120 * 9 + 160 * 25 + 120 * 49,
        120 * 25 + 160 * 49 + 120 * 49,
    ]
    np.testing.assert_allclose(log_energies([alternating(levels)]), np.log(np.array(wanted) + DITHER), rtol=1e-6)
    shifted = alternating(levels) + np.float32(2**-4)
    np.testing.assert_allclose(log_energies([shifted]), log_energies([alternating(levels)]), rtol=1e-6)


def test_the_frames_that_kaldi_calls_speech_are_found():
    """Of 20 frames 12 have an energy of 400 * 2^2, 2 of 120 * 1000^2 and a bit, 2 of 280 and 4 of 400 * 1000^2."""
    quiet, edge = np.log(1_600 + 399), np.log(120e6 + 280 * 4 + 399)
    near, loud = np.log(280e6 + 120 * 4 + 399), np.log(400e6 + 399)
    log_energy_F = log_energies([alternating(LEVELS)])
    expected = np.array([quiet] * 9 + [edge, near, loud, loud, near, edge] + [quiet] * 5)
    np.testing.assert_allclose(log_energy_F, expected, rtol=1e-6)
    threshold = 5.5 + 0.5 * expected.mean()
    assert quiet < threshold < edge  # 7.6 < 11.1 < 18.6: frames 9 to 14 are loud
    assert np.flatnonzero(speech_frames(log_energy_F, EnergySettings())).tolist() == [
        *range(7, 17)
    ]  # one of five will do
    assert energy_speech([alternating(LEVELS)], EnergySettings()) == [(7 * 160, 17 * 160)]


@pytest.mark.parametrize(
    ("settings", "frames"),
    [
        ({"context": 0, "proportion": 0.6}, range(9, 15)),  # compute-vad without options
        ({"context": 1, "proportion": 0.6}, range(9, 15)),
        ({"context": 1, "proportion": 0.7}, range(10, 14)),
        ({"context": 0, "threshold": 9.0}, range(9, 15)),  # above 14.6
        ({"context": 0, "threshold": 13.2}, range(10, 14)),  # above 18.8
        ({"context": 0, "threshold": 7.0, "mean_scale": 0.0}, range(20)),
    ],
)
def test_each_option_does_what_kaldis_does(settings, frames):
    found = speech_frames(log_energies([alternating(LEVELS)]), EnergySettings(**settings))
    assert np.flatnonzero(found).tolist() == [*frames]


def test_the_neighbours_at_either_end_are_those_that_there_are():
    log_energy_F = np.array([20, 0, 0, 0, 0, 0, 20], np.float32)
    half = EnergySettings(context=1, proportion=0.5, mean_scale=0.0)
    assert np.flatnonzero(speech_frames(log_energy_F, half)).tolist() == [0, 6]  # one of two; of three it is too few
    far = EnergySettings(context=9, proportion=0.3, mean_scale=0.0)
    assert not speech_frames(log_energy_F, far).any()  # two of seven
    assert speech_frames(log_energy_F, far.model_copy(update={"proportion": 0.28})).all()


@pytest.mark.parametrize("samples", [1, 79, 80, 239, 400, 401, 560, 16_000, BLOCK_SAMPLES + 3, 2 * BLOCK_SAMPLES])
def test_energies_are_those_of_frames_reflected_at_both_ends_however_the_samples_come(samples):
    generator = np.random.default_rng(samples)
    wave_T = generator.normal(0.003, 0.01, samples).astype(np.float32)
    found = log_energies(even_blocks(np.array_split(wave_T, 3)))
    assert len(found) == (samples + 80) // 160
    np.testing.assert_array_equal(found, log_energies(even_blocks([wave_T])))
    frames = [frame for frame in (0, 1, 2, 1637, 1638, len(found) - 2, len(found) - 1) if 0 <= frame < len(found)]
    for frame in frames:
        place_T = np.arange(160 * frame - 120, 160 * frame + 280)
        for _ in range(400 // samples + 1):
            place_T = np.where(place_T < 0, -place_T - 1, place_T)
            place_T = np.where(place_T >= samples, 2 * samples - 1 - place_T, place_T)
        frame_T = 32_768 * wave_T.astype(np.float64)[place_T]
        assert found[frame] == pytest.approx(np.log(((frame_T - frame_T.mean()) ** 2).sum() + DITHER), rel=1e-6)


def test_nothing_and_silence_hold_no_speech():
    for wave_T in (np.empty(0, np.float32), np.zeros(50, np.float32), np.zeros(16_000, np.float32)):
        assert energy_speech([wave_T], EnergySettings()) == []
