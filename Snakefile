"""The DAG of a run. Every rule is one `reseed` command: the rules of each topic are in pipeline/rules/, where its files
lie in pipeline/layout.py, what a step reads in pipeline/inputs.py, its settings in config.yaml.

`reseed run CONFIG` writes config.yaml into the run's folder and calls Snakemake there. Changing a section of the
configuration runs the rules again whose `params` digest it, and what follows from them.
"""

import shlex
from pathlib import Path

from reseed.pipeline import layout
from reseed.pipeline.inputs import Inputs, files, folder, of, options
from reseed.pipeline.loading import load_config, trust_vectors
from reseed.pipeline.plan import Plan

RUN = load_config(Path(config.get("settings", layout.CONFIG)))
trust_vectors(RUN)
PLAN = Plan(RUN)
INPUTS = Inputs(PLAN)
BACKBONE, TRAIN, EVALUATION = PLAN.configured, PLAN.train, PLAN.evaluation
# On a cluster a job asks for a GPU where the run says `device: cuda`; `auto` takes one where the job has one.
GPU = {"gpu": 1} if RUN.device.startswith("cuda") else {}
# On a cluster one job extracts a store and seals it, where one job extracts it.
EXTRACTION = "extraction" if RUN.extract.jobs == 1 else None


wildcard_constraints:
    kind="speech|noise|music|rir",
    split="[^/]+",
    system="[^/.]+",
    scored="(backbones/)?[^/.~]+",
    name="[^/.]+",
    backbone="[^/+~]+",
    pair="[^/]+~[^/]+",
    alignment="[^/.+]+",
    aligned="[^/.]+",
    enhanced=r"[^/+~]+\+[^/~]+|[^/]+~[^/]+/[^/+]+\+[^/]+/(enrolment|test)",
    side="enrolment|test",
    job=r"\d+",


rule all:
    input:
        INPUTS.targets(),


include: "pipeline/rules/corpus.smk"


if RUN.corpus.stores:

    include: "pipeline/rules/vectors.smk"

else:

    include: "pipeline/rules/backbones.smk"
    include: "pipeline/rules/extraction.smk"


include: "pipeline/rules/enhancers.smk"
include: "pipeline/rules/scoring.smk"
include: "pipeline/rules/calibration.smk"
include: "pipeline/rules/pairs.smk"
include: "pipeline/rules/report.smk"
