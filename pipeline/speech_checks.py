"""Whether the speakers and utterances that are listed suffice for trials, cohort, calibration and training."""

from collections.abc import Iterator, Mapping
from itertools import chain

import pyarrow as pa

from reseed.pipeline.listings import MOST, Listing
from reseed.pipeline.plan import Plan
from reseed.stages.audio.datasets.trial_lists import (
    ParsedTrials,
    read_models,
    read_trial_list,
    unknown_names,
)
from reseed.stages.audio.datasets.trial_names import utterances_named
from reseed.stages.common.prose import counted, first_few
from reseed.store import ManifestError

_LIST_BYTES = 64 << 20  # of a trial list: to read a longer one takes seconds


class SpeechChecks:
    """Checks of the two splits of speech, as far as their listings are whole: rejects only make them smaller.

    Args:
        listings: by "KIND/SPLIT".
    """

    def __init__(self, plan: Plan, listings: Mapping[str, Listing]) -> None:
        self.plan, self.config, self.listings = plan, plan.run, listings
        self.train, self.evaluation = (self._whole(split) for split in (plan.train, plan.evaluation))

    def errors(self) -> Iterator[str]:
        """Yield what would certainly fail."""
        yield from self._too_few_to_babble()
        if self.evaluation is not None:
            yield from self._too_few_for_trials(self.evaluation) if self.config.trials.list is None else ()
            yield from self._wrong_list(self.evaluation)
        if self.train is not None:
            yield from self._too_few_to_calibrate(self.train)
            yield from self._too_small_cohort(self.train)
            yield from self._too_few_to_train(self.train)
        if self.train is not None and self.evaluation is not None and self._every_pair_is_tried:
            yield from self._shared_with_cohort(self.train, self.evaluation)

    def warnings(self) -> Iterator[str]:
        """Yield what may be meant otherwise."""
        if self.evaluation is None:
            return
        groups = self.config.trials.confusable_speakers if self.config.trials.list is None else ()
        there = self.evaluation.speakers.keys() | (self.train.speakers.keys() if self.train else set())
        named = [name for group in groups for name in group]
        if self.train is not None and named and not there & {*named}:
            text = f"names {first_few(named)}, and {self.train.name} and {self.evaluation.name} have none of them"
            yield f"trials.confusable_speakers: {text}; ids are such as {first_few(sorted(there)[:1])}"
        if self.train is not None and not self._every_pair_is_tried:
            yield from self._shared_with_cohort(self.train, self.evaluation)
        if self.config.trials.drop_unknown:
            yield from self._unknown(self.evaluation)

    def _whole(self, split: str) -> Listing | None:
        found = self.listings.get(f"speech/{split}")
        return found if found is not None and found.is_whole and found.rows else None

    def _too_few_to_babble(self) -> Iterator[str]:
        for split in (self.plan.train, self.plan.evaluation):
            babble = self.plan.recordings(split).get("babble")
            found = self._whole(babble.split) if babble else None
            if found is not None and len(found.speakers) + found.unknown < 2:
                yield f"{found.name}: views with babble need two speakers or more, and there is one"

    def _too_few_for_trials(self, found: Listing) -> Iterator[str]:
        least = 2 * self.config.trials.enrolment_utterances
        if (enough := found.with_utterances(least)) < 2:
            yield (
                f"{found.name}: trials need two or more speakers with {least} or more utterances, and {enough} of "
                f"{counted(len(found.speakers), 'speaker')} has so many; set corpus.prepare.speaker_depth if another "
                "folder names the speaker, or give trials.list"
            )

    def _wrong_list(self, found: Listing) -> Iterator[str]:
        """Yield what is wrong with a trial list against the utterances of evaluation."""
        listed = self._trial_list(found)
        if isinstance(listed, str):
            yield listed
        elif listed is not None:
            views = self.config.extract.evaluation.views
            bound = sorted({*listed.conditions.unique().to_pylist()} - {None, "", *views})
            if bound:
                text = f"is bound to the views {first_few(bound)}; extract.evaluation.views has {', '.join(views)}"
                yield f"trials.list: {self.config.trials.list} {text}"
            if not self.config.trials.drop_unknown:
                yield from self._unknown(found)

    def _unknown(self, found: Listing) -> Iterator[str]:
        listed, settings = self._trial_list(found), self.config.trials
        if listed is None or isinstance(listed, str) or self.config.corpus.prepare.channels == "each":
            return  # of ids with channels it is only known once the recordings are opened
        try:
            models = read_models(settings.enrolment) if settings.enrolment and settings.enrolment.is_file() else {}
        except ManifestError as error:
            yield str(error)
            return
        known = utterances_named(chain(listed.names, *models.values()), _ids(found))
        if unknown := unknown_names(listed, models, known, settings.enrolment):
            remedy = "such trials are left out" if settings.drop_unknown else "correct it, or set trials.drop_unknown"
            yield f"trials.list: {settings.list}, {unknown} ({found.name}); {remedy}"

    def _trial_list(self, found: Listing) -> ParsedTrials | str | None:
        """Return the list of a run, what is wrong with it, or None where there is none or it is too long."""
        path = self.config.trials.list
        if path is None or not path.is_file() or path.stat().st_size > _LIST_BYTES:
            return None
        try:
            return read_trial_list(path, _ids(found))
        except ManifestError as error:
            return str(error)

    def _held_out(self, train: Listing) -> int:
        """Return how many training speakers are held out for calibration."""
        return round(self.config.calibrate.share * train.with_utterances(2)) if self.config.calibrate else 0

    def _too_few_to_calibrate(self, train: Listing) -> Iterator[str]:
        if self.config.calibrate is None:
            return
        useful, chosen = train.with_utterances(2), self._held_out(train)
        if min(chosen, useful - chosen) < 2:
            yield (
                f"calibrate.share: {self.config.calibrate.share:g} of the {useful} speakers of {train.name} with two "
                "or more utterances leaves fewer than two on one side; change it, or leave calibrate out"
            )
        least = 2 * self.config.trials.enrolment_utterances
        if (enough := train.with_utterances(least)) < 2:
            yield f"calibrate: {enough} of the speakers of {train.name} has {least} utterances for trials, two must"

    def _too_small_cohort(self, train: Listing) -> Iterator[str]:
        score, held_out = self.config.score, self._held_out(train)
        of_speakers = score.cohort.per == "speaker"
        each = len(train.speakers) - held_out + train.unknown if of_speakers else len(train.rows) - 2 * held_out
        most = each * len(score.cohort.views)
        wanted = {"as_norm": score.cohort.top, "s_norm": 2, "tas_norm": score.cohort.top + 1}
        for scoring in (name for name in wanted if name in score.scorings and wanted[name] > most):
            text = f"{scoring} needs a cohort of {wanted[scoring]}, and {train.name} gives {most} vectors at most"
            held = f", {held_out} speakers being held out for calibration" if held_out else ""
            top = most + score.cohort.top - wanted[scoring]
            lower = f"set score.cohort.top to {top} or less"
            remedy = lower if top > 1 and scoring != "s_norm" else "leave it out"
            yield f"score.cohort: {text}{held}; {remedy}{', or per to utterance' if of_speakers else ''}"
        for scoring in score.of_plda:
            least = max(score.plda.min_utterances, 1)
            useful = train.with_utterances(least) - (held_out if least > 1 else 0)
            if useful < 3:
                text = f"needs three speakers with {least} utterances or more, and {train.name} has {useful} for it"
                yield f"score.scorings: {scoring} {text}; leave it out"
        if "plda_interpolated" in score.scorings:
            text = "plda_interpolated needs labelled speech like that of the trials, which a run has none of"
            yield f"score.scorings: {text}; leave it out, and score by `reseed score --domain`"

    def _too_few_to_train(self, train: Listing) -> Iterator[str]:
        for name, training in self.config.backbones.items():
            if not training.epochs or training.head is None:
                continue
            if train.unknown:
                text = f"{train.unknown:,} of {len(train.rows):,} utterances of {train.name} have no speaker"
                yield f"backbones.{name}: {text}; leave them out, or train with head: null and anchors"
            elif len(train.speakers) < 2:
                yield f"backbones.{name}: {train.name} has one speaker, and to tell speakers apart needs two or more"

    @property
    def _every_pair_is_tried(self) -> bool:
        """Whether generated trials take in every speaker of evaluation: none is left to chance."""
        rows = len(self.evaluation.rows) if self.evaluation is not None else MOST
        return self.config.trials.list is None and (rows / 2) ** 2 <= self.config.trials.max_nontargets

    def _shared_with_cohort(self, train: Listing, evaluation: Listing) -> Iterator[str]:
        both = sorted(train.speakers.keys() & evaluation.speakers.keys())
        if both and self.config.score.need_cohort and self.config.score.cohort.overlap == "refuse":
            text = f"{counted(len(both), 'speaker')} of {train.name} and {evaluation.name} are one ({first_few(both)})"
            yield f"score.cohort.overlap: {text}; set it to exclude (leave them out) or allow, or divide otherwise"


def _ids(found: Listing) -> pa.Array:
    return pa.array([row.utterance_id for row in found.rows], pa.string())
