"""How the names in trial lists meet the ids of a manifest."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.audio.listing import AUDIO_SUFFIXES

FIRST_SIDE = "-ch0"  # of a call
OPEN = "{}"  # in a name: any microphone of an array
_NUMBER = re.compile(r"(?<=_)\d\d(?=_)")


def utterances_named(names: Iterable[str], ids: pa.Array) -> dict[str, list[str]]:
    """Return the utterances that each name may mean: one; none where it is unknown; two where it is ambiguous.

    A name means the utterance of that id, the one of that id but for a suffix, or else those whose ids end in it:
    eval/test/id00800-singing-01-001 is also test/id00800-singing-01-001.wav. The first side of a call, call-ch0, is
    call where that has one channel.
    """
    spellings = {name: _spellings(name) for name in names}
    spelt = list(dict.fromkeys(chain.from_iterable(spellings.values())))
    are_ids = pc.is_in(pa.array(spelt, pa.string()), value_set=ids).to_pylist()
    known = {each for each, is_id in zip(spelt, are_ids, strict=True) if is_id}
    meant = {name: [each for each in spelt if each in known][:1] for name, spelt in spellings.items()}
    ends = {end for name, found in meant.items() if not found for end in spellings[name][1:]}
    by_end = _ending_in(ends, ids)
    for name in (name for name, found in meant.items() if not found):
        meant[name] = next((by_end[end] for end in spellings[name][1:] if end in by_end), [])
    return meant


def _spellings(name: str) -> tuple[str, ...]:
    bare = without_suffix(name)
    return (name, bare, bare.removesuffix(FIRST_SIDE)) if bare.endswith(FIRST_SIDE) else (name, bare)


def without_suffix(name: str) -> str:
    """Return a name without the suffix of an audio file, if it has one."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in AUDIO_SUFFIXES else name


def _ending_in(ends: set[str], ids: pa.Array) -> dict[str, list[str]]:
    """Return up to two utterances for each end that whole parts of their ids make."""
    found: dict[str, list[str]] = defaultdict(list)
    for scalar in ids if ends else ():
        utterance_id = scalar.as_py()
        slash = utterance_id.find("/")
        while slash >= 0:
            end = utterance_id[slash + 1 :]
            if end in ends and len(found[end]) < 2:
                found[end].append(utterance_id)
            slash = utterance_id.find("/", slash + 1)
    return found


class Microphones:
    """The microphones of arrays: a trial of SV0333_2_{}_N0124.wav is one of each that the corpus has (HI-MIA).

    Where both names of a trial leave the microphone open, both are of the same one.
    """

    def __init__(self, ids: pa.Array) -> None:
        self._ids = ids

    def pairs(self, enrolment: str, test: str) -> Iterator[tuple[str, str]]:
        """Yield the trial of each microphone where a name leaves it open; the pair as it is where none is known."""
        found = [self._numbers.get(without_suffix(name), ()) for name in (enrolment, test) if OPEN in name]
        numbers = sorted(set(found[0]).intersection(*found))
        yield from ((enrolment.replace(OPEN, each), test.replace(OPEN, each)) for each in numbers)
        if not numbers:
            yield enrolment, test

    @cached_property
    def _numbers(self) -> dict[str, list[str]]:
        """The numbers of microphones that stand in the place of {} in the ids of the corpus."""
        numbers: dict[str, list[str]] = defaultdict(list)
        for scalar in self._ids:
            utterance_id = scalar.as_py()
            for number in _NUMBER.finditer(utterance_id):
                numbers[f"{utterance_id[: number.start()]}{OPEN}{utterance_id[number.end() :]}"].append(number[0])
        return numbers
