"""Settings of the report, apart from the code: the configuration tree needs them, and matplotlib takes seconds."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from reseed.stages.common.section import OneOf, Section
from reseed.stages.reporting.metrics.table import FURTHER


class ReportSettings(Section):
    """What the report computes.

    Attributes:
        bootstrap_replicates: resamples of the speakers for 95 % intervals; 0: no intervals.
        p_target: prior of a target trial in minDCF and actual DCF.
        c_miss, c_fa: cost of a miss and of a false alarm in minDCF and actual DCF.
        seed: seed of these resamples, and of t-SNE.
        projection: how the embedding space is shown in two dimensions; tsne preserves neighbours, but no distances.
        projection_speakers: speakers in that figure.
        retrieval: measure retrieval and classification by the vectors too; null: of vectors that are none of audio.
        metrics: further ones, of other packages (plugins.md); those that are built in are in every report.
    """

    bootstrap_replicates: int = Field(default=1000, ge=0, le=1_000_000)
    p_target: float = Field(default=0.05, gt=0, lt=1)
    c_miss: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    c_fa: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)
    projection: Literal["pca", "tsne"] = "pca"
    projection_speakers: int = Field(default=8, ge=2)
    retrieval: bool | None = None
    metrics: tuple[Annotated[str, OneOf(FURTHER)], ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = dump(self)  # digests of before there were metrics of others stay what they were
        return {name: value for name, value in found.items() if name != "metrics" or value}
