"""Who speaks: voices drawn so that no two are alike and no split shares even a relative.

A voice is an accent, one of espeak-ng's human-sounding variants (its formants), a pitch, a pitch range, a rate, and a
formant scale: the length of the vocal tract, applied by playing slightly faster or slower. About two voices are made of
each variant, as relatives that differ in all the rest: these are the impostors that make verification worth measuring.
Half of the voices of a split are female.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reseed.stages.synthesis.seeds import generator_for


def _names(text: str) -> list[str]:
    return text.split()


# Left out: whispers, robots and other effects, variants of the old Klatt synthesiser, and near copies of one listed.
_FEMALE = _names("Alicia Andrea Annie aunty belinda f1 f2 f3 f4 f5 grandma linda shelby steph")
_MALE = _names(
    """Alex Andy Denis Gene Henrique Mario Michael Mike Nguyen Reed Storm adam antonio david ed grandpa gustave john
    m1 m2 m3 m4 m5 m6 m7 m8 max mike2 miguel norbert pablo paul pedro quincy robert sandro travis victor"""
)
_ACCENTS = {
    "us": "gmw/en-US",
    "nyc": "gmw/en-US-nyc",
    "gb": "gmw/en",
    "rp": "gmw/en-GB-x-rp",
    "scotland": "gmw/en-GB-scotland",
    "lancaster": "gmw/en-GB-x-gbclan",
    "midlands": "gmw/en-GB-x-gbcwmd",
    "caribbean": "gmw/en-029",
}
_VOICES_PER_VARIANT = 2
_FORMANT_SCALES = (0.92, 1.08)


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker.

    Attributes:
        accent, variant, pitch, pitch_range, rate_wpm: as `espeak.Line` takes them.
        formant_scale: factor on every formant, and with them on pitch and rate; above 1 is a shorter vocal tract.
    """

    voice_id: str
    accent: str
    variant: str
    pitch: int
    pitch_range: int
    rate_wpm: int
    formant_scale: float


def plan_voices(counts: dict[str, int], seed: int) -> dict[str, list[Voice]]:
    """Return the voices of each split, `counts[split]` of them; no variant occurs in two splits."""
    female = _deal(_FEMALE, {split: (count + 1) // 2 for split, count in counts.items()}, seed)
    male = _deal(_MALE, {split: count // 2 for split, count in counts.items()}, seed)
    return {
        split: [_draw_voice(split, number, *dealt, seed) for number, dealt in enumerate(female[split] + male[split])]
        for split in counts
    }


def _deal(variants: Sequence[str], counts: dict[str, int], seed: int) -> dict[str, list[tuple[str, int]]]:
    """Give each split variants of its own, in turn up to its count; beside each, how often it came before."""
    deck = [str(variant) for variant in generator_for(seed, "variants").permutation(variants)]
    total = max(1, sum(counts.values()))
    dealt = {}
    for split, count in counts.items():
        # One for each split beforehand: a large split leaves a small one at least one variant.
        fair = 1 + count * (len(variants) - len(counts)) // total
        share = min(math.ceil(count / _VOICES_PER_VARIANT), fair)
        own, deck = deck[:share], deck[share:]
        dealt[split] = [(own[index % share], index // share) for index in range(count)]
    return dealt


def _draw_voice(split: str, number: int, variant: str, relative: int, seed: int) -> Voice:
    generator = generator_for(seed, "voice", split, number)
    accent = str(generator.choice(list(_ACCENTS)))
    return Voice(
        voice_id=f"{split}-{number:03d}-{accent}-{variant.lower()}",
        accent=_ACCENTS[accent],
        variant=variant,
        pitch=int(generator.integers(30, 71)),
        pitch_range=int(generator.integers(30, 71)),
        rate_wpm=int(generator.integers(150, 191)),
        formant_scale=_formant_scale(variant, relative, seed),
    )


def _formant_scale(variant: str, relative: int, seed: int) -> float:
    # Golden-ratio steps keep relatives apart however many there are; drawn freely, some would be one voice twice.
    place = (generator_for(seed, "formants", variant).random() + relative * 0.381966) % 1
    low, high = _FORMANT_SCALES
    return round(low + (high - low) * place, 4)
