"""Quality measures of trials, from quality.parquet: further features of a calibration.

Shapes: P trials.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reseed.stages.scoring.curves import Floats
from reseed.stages.trial_scoring.files import read_quality
from reseed.stages.trial_scoring.inputs.lists import read_enrolments
from reseed.stages.trial_scoring.settings import Measure
from reseed.store import ScoringError

_COLUMNS: dict[Measure, str] = {"duration": "duration_s", "norm": "norm", "snr": "snr_db"}


class QualityMeasures:
    """Quality measures of trials: of each measure the lower of the two sides, and how far apart they are."""

    def __init__(self, path: Path, measures: Sequence[Measure], enrolments: Path | None) -> None:
        self._path = path
        self._measures = measures
        table = read_quality(path)
        if enrolments is not None:
            table = pa.concat_tables([table, _of_models(table, enrolments)])
        self._key = pc.binary_join_element_wise(
            table["condition"].cast(pa.string()), table["utterance_id"].cast(pa.string()), "\t"
        ).combine_chunks()
        self._values = {measure: table[_COLUMNS[measure]].to_numpy() for measure in measures}

    @property
    def names(self) -> list[str]:
        return [f"{measure}, {what}" for measure in self._measures for what in ("the lower", "difference")]

    def of(self, trials: pa.Table, enrolment_view: str) -> list[Floats]:
        """Return the features of some trials, each [P].

        Raises:
            ScoringError: an utterance has no measures.
        """
        enrolled = self._rows(pa.scalar(enrolment_view), trials["enrolment_id"])
        tested = self._rows(trials["condition"].cast(pa.string()), trials["test_id"])
        features = []
        for measure in self._measures:
            values = self._values[measure]
            values = np.log(values.clip(min=1e-3)) if measure == "duration" else values
            features += [np.minimum(values[enrolled], values[tested]), np.abs(values[enrolled] - values[tested])]
        return features

    def _rows(self, view: Any, ids: pa.ChunkedArray) -> Any:
        keys = pc.binary_join_element_wise(view, ids.cast(pa.string()), "\t")
        rows = pc.index_in(keys, value_set=self._key)
        if rows.null_count:
            view_of, name = keys.filter(pc.is_null(rows))[0].as_py().split("\t", 1)
            raise ScoringError(
                f"{self._path} has no measures of {name} in view {view_of} (and {rows.null_count - 1} more); make it "
                "of the store that was scored, and give --enrolments where trials name models"
            )
        return rows.to_numpy()


def _of_models(table: pa.Table, enrolments: Path) -> pa.Table:
    """Return the measures of enrolment models: the means of those of their utterances, by condition."""
    members = read_enrolments(enrolments)
    joined = table.cast(pa.schema([*((field.name, _plain(field.type)) for field in table.schema)])).join(
        members, "utterance_id", join_type="inner"
    )
    columns = list(_COLUMNS.values())
    means = joined.group_by(["enrolment_id", "condition"]).aggregate([(name, "mean") for name in columns])
    renamed = means.select(["enrolment_id", "condition", *(f"{name}_mean" for name in columns)])
    return renamed.rename_columns(["utterance_id", "condition", *columns]).select(table.schema.names).cast(table.schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
