"""The NIST speaker recognition evaluations of 2016 to 2024 and their training data, as the LDC publishes them.

SRE16 (LDC2019S20, with the unlabelled calls of LDC2016E46): kaldi, egs/sre16/v1/local/make_sre16_{eval,unlabeled}.pl.
    data/{enrollment,test}/*.sph, also below data/eval/R149_0_1; data/unlabeled/{major,minor}/*.sph
SRE18 (LDC2018E46, E51): wespeaker, examples/sre/v3/local/prepare_sre18.sh.
    data/{enrollment,test,unlabeled}/*.{sph,flac}
SRE21 (LDC2021E09, E10): prepare_sre21.sh beside it. data/audio/{enrollment,test}/*.{sph,flac}
SRE24 (LDC2024E12 with the keys of E34): hyperion, hyperion/data_prep/sre24.py. data/{enrollment,test}/*.{sph,flac,mp4}
CTS superset (LDC2021E08): data/*/*.sph, docs/cts_superset_segment_key.tsv
    docs/*segment_key.tsv has segmentid, subjectid, language, ...; docs/*enrollment*.tsv modelid, segmentid, side;
    docs/*trial_key.tsv modelid, segmentid, side, targettype, ...
The keys of SRE16 name calls instead of subjects, so that its speakers are not known. Ids are names of segments.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from reseed.stages.audio.datasets.base import Dataset, Listing, folder_of, splits_of
from reseed.stages.audio.datasets.tables import named, tab_rows
from reseed.stages.audio.datasets.trees import Label, Tree
from reseed.stages.audio.datasets.trial_names import without_suffix
from reseed.stages.audio.demographics import gender_of
from reseed.stages.audio.kaldi import list_kaldi
from reseed.stages.audio.listed import ListedRecording

_DEPTH = 4  # of the recordings below the folder that holds docs
_SIDES = ("enrollment", "test")


def _subjects(folder: Path, split: str) -> Mapping[str, Label]:
    """Return who speaks in each segment, by the keys in `docs` beside `data`."""
    docs = next((above / "docs" for above in (folder, *folder.parents[:_DEPTH]) if (above / "docs").is_dir()), None)
    labels: dict[str, Label] = {}
    subjects: dict[Label, Label] = {}  # one object of each: the superset has half a million segments
    for path in sorted(docs.glob("*segment_key.tsv")) if docs else ():
        for _, row in tab_rows(path):
            segment = named(row, "filename", "segmentid", "segment")
            if segment is not None:
                gender = gender_of(named(row, "gender", "sex") or "")
                label = Label(named(row, "subjectid", "subject_id"), named(row, "language"), gender)
                labels[without_suffix(segment)] = subjects.setdefault(label, label)
    return labels


def _segments(*places: str, inside: str = "*", id: str = "{stem}") -> Tree:
    return Tree(places, inside, id, labels=_subjects)


def _kaldi(title: str, root: Path, split: str) -> Iterator[ListedRecording]:
    """Yield a data directory of Kaldi's recipe; enrolment utterances are MODEL-SEGMENT there, of the speaker MODEL."""
    folder = folder_of(title, root, f"sre16_{split}", f"data/sre16_{split}", holding="wav.scp")
    return list_kaldi(folder, folder, split)


_OF_2016: dict[str, Listing] = {
    **splits_of(_segments("data/{split}", "data/eval/R149_0_1/data/{split}", "R149_0_1/data/{split}"), *_SIDES),
    **splits_of(_segments("data/unlabeled/{split}", "*/data/unlabeled/{split}"), "major", "minor"),
}
SRE16 = Dataset("NIST SRE16", {"speech": _OF_2016})
SRE16_KALDI = Dataset(
    "NIST SRE16 by Kaldi's recipe", {"speech": splits_of(_kaldi, "eval_enroll", "eval_test", "major", "minor")}
)
SRE18 = Dataset("NIST SRE18", {"speech": splits_of(_segments("data/{split}"), *_SIDES, "unlabeled")})
SRE21 = Dataset("NIST SRE21", {"speech": splits_of(_segments("data/audio/{split}"), *_SIDES)})
SRE24 = Dataset("NIST SRE24", {"speech": splits_of(_segments("data/{split}"), *_SIDES)})
SRE_CTS = Dataset("NIST SRE CTS superset", {"speech": {"all": _segments("data", inside="**/*", id="{path}")}})
