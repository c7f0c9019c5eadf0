"""Published ways of scoring, by name: what goes into `score`; docs/protocols.md has the rest of a run for each."""

from typing import Any

PROTOCOLS: dict[str, dict[str, Any]] = {
    # WeSpeaker, examples/voxceleb/v2/local/score_norm.sh: AS-norm over the means of VoxCeleb2's 5,994 speakers.
    "vox1-o-wespeaker": {"scorings": ("cosine", "as_norm"), "cohort": {"per": "speaker", "top": 300}},
    # SEED and voxceleb_trainer: minus the mean distance of all pairs of ten crops.
    "seed": {"scorings": ("crop_distance",)},
    # WeSpeaker, examples/cnceleb/v2: AS-norm over the means of the training speakers, models of several utterances.
    "cnceleb": {"scorings": ("cosine", "as_norm"), "cohort": {"per": "speaker", "top": 300}},
    # WeSpeaker, examples/sre/v3: PLDA, and the same adapted as Kaldi does it.
    "sre": {"scorings": ("plda", "plda_kaldi")},
    # VOiCES from a Distance, evaluation plan 2019, which leaves the back-end open: what its metrics ask for.
    "voices2019": {"scorings": ("cosine", "as_norm"), "cohort": {"per": "speaker", "top": 200}},
}
