"""The DAG of a run: every rule is one `reseed` command; paths come from pipeline.layout, settings from config.yaml.

`reseed run CONFIG` writes config.yaml into the run's folder and calls Snakemake there. Changing a section of the
configuration runs the rules again whose `params` digest it, and what follows from them.
"""

import shlex
from pathlib import Path

from pipeline import layout
from pipeline.config import load_config
from stages.audio.sources import listing_digest

RUN = load_config(Path(config.get("settings", layout.CONFIG)))
BACKBONE = RUN.backbone.name
TRAIN, EVALUATION = RUN.corpus.train, RUN.corpus.evaluation
RECIPES = {TRAIN: "train", EVALUATION: "evaluation"}
SYSTEMS = ["raw", *RUN.train]
# On a cluster a job asks for a GPU where the run says `device: cuda`; `auto` takes one where the job has one.
GPU = {"gpu": 1, "gpu_manufacturer": "nvidia"} if RUN.device.startswith("cuda") else {}


def sources(split):
    """The manifests that extraction of a split reads, by the name of the option of `reseed extract` that takes each."""
    return {source: layout.manifest(*place) for source, place in RUN.recordings(split).items()}


def listing(split, kind):
    """A digest of which files a corpus folder holds: files that are added, removed or changed are prepared anew.

    Published data sets do not change, and hold a million files.
    """
    source = RUN.source(split, kind)
    return "" if RUN.synthesise or source.dataset else listing_digest(source.path)


def chosen(split, kind):
    """The options of `reseed prepare` that say where the recordings lie and which of them are wanted."""
    source = RUN.source(split, kind)
    options = [f"--source={source.path}", *([f"--split={source.split}"] if source.split else [])]
    return shlex.join([*options, *([f"--set=corpus.prepare.dataset={source.dataset}"] if source.dataset else [])])


wildcard_constraints:
    kind="speech|noise|music|rir",
    split="[^/]+",
    system="[^/.]+",
    job=r"\d+",


# Every artefact is asked for by name: Snakemake takes a run for finished when the last one is there, even if a step
# that was to be repeated has failed or been killed and its old output is gone.
rule all:
    input:
        [list(sources(split).values()) for split in RECIPES],
        [layout.extracted(BACKBONE, split, str(job)) for split in RECIPES for job in range(RUN.extract.jobs)],
        [layout.store(BACKBONE, split) / "store.json" for split in RECIPES],
        layout.TRIALS,
        [layout.model(system) / "model.json" for system in RUN.train],
        [layout.store(BACKBONE, EVALUATION, system) / "store.json" for system in RUN.train],
        [layout.scores(system) for system in SYSTEMS],
        layout.PAGE,
        layout.METRICS,


rule synthesise:
    output:
        marker=layout.SYNTHETIC_MARKER,
    params:
        settings=RUN.digest("synthesise", "seed"),
    log:
        layout.log("synthesise"),
    benchmark:
        layout.benchmark("synthesise")
    threads: workflow.cores or 1
    message:
        "synthesise: voices, noises, music and rooms"
    shell:
        "reseed synthesise --config config.yaml --root {layout.SYNTHETIC_ROOT} >{log} 2>&1"


rule prepare:
    input:
        synthetic=[layout.SYNTHETIC_MARKER] if RUN.synthesise else [],
    output:
        utterances=layout.manifest("{split}", "{kind}"),
        rejects=layout.rejects("{split}", "{kind}"),
    params:
        settings=RUN.digest("corpus"),
        source=lambda wildcards: chosen(wildcards.split, wildcards.kind),
        listing=lambda wildcards: listing(wildcards.split, wildcards.kind),
    log:
        layout.log("prepare", "{split}", "{kind}"),
    benchmark:
        layout.benchmark("prepare", "{split}", "{kind}")
    message:
        "prepare: {wildcards.kind} of {wildcards.split}"
    shell:
        "reseed prepare --config config.yaml {params.source} --kind {wildcards.kind}"
        " --utterances {output.utterances:q} --rejects {output.rejects:q} >{log} 2>&1"


rule trials:
    input:
        utterances=layout.manifest(EVALUATION, "speech"),
        lists=[path for path in (RUN.trials.list, RUN.trials.enrolment) if path],
    output:
        trials=layout.TRIALS,
    params:
        settings=RUN.digest("trials", "seed"),
    log:
        layout.log("trials"),
    benchmark:
        layout.benchmark("trials")
    message:
        "trials: of {EVALUATION}"
    shell:
        "reseed trials --config config.yaml --utterances {input.utterances:q} --trials {output.trials} >{log} 2>&1"


rule extract:
    input:
        sources=lambda wildcards: list(sources(wildcards.split).values()),
    output:
        marker=touch(layout.extracted(BACKBONE, "{split}", "{job}")),
    params:
        settings=lambda wildcards: RUN.digest(
            "backbone", "seed", "extract.shards", "extract.jobs", f"extract.{RECIPES[wildcards.split]}"
        ),
        weights=RUN.backbone_files(),
        sources=lambda wildcards: shlex.join(
            f"--{source}={path}" for source, path in sources(wildcards.split).items()
        ),
        store=str(layout.store(BACKBONE, "{split}")),
        recipe=lambda wildcards: RECIPES[wildcards.split],
        jobs=RUN.extract.jobs,
    log:
        layout.log("extract", "{split}", "{job}"),
    benchmark:
        layout.benchmark("extract", "{split}", "{job}")
    resources:
        **GPU,
    retries: 1
    message:
        "extract: {wildcards.split}, job {wildcards.job} of {params.jobs}"
    shell:
        "reseed extract --config config.yaml --section {params.recipe} {params.sources}"
        " --store {params.store:q} --job {wildcards.job}/{params.jobs} >{log} 2>&1"


rule seal:
    input:
        sources=lambda wildcards: list(sources(wildcards.split).values()),
        jobs=[layout.extracted(BACKBONE, "{split}", str(job)) for job in range(RUN.extract.jobs)],
    output:
        store=layout.store(BACKBONE, "{split}") / "store.json",
    params:
        sources=rules.extract.params.sources,
        store=rules.extract.params.store,
        recipe=rules.extract.params.recipe,
    log:
        layout.log("seal", "{split}"),
    benchmark:
        layout.benchmark("seal", "{split}")
    message:
        "seal: the store of {wildcards.split}"
    shell:
        "reseed extract --config config.yaml --section {params.recipe} {params.sources}"
        " --store {params.store:q} >{log} 2>&1"


rule train:
    input:
        store=layout.store(BACKBONE, TRAIN) / "store.json",
    output:
        model=layout.model("{system}") / "model.json",
    params:
        settings=lambda wildcards: RUN.digest("seed", f"train.{wildcards.system}"),
        store=layout.store(BACKBONE, TRAIN),
        model=str(layout.model("{system}")),
    log:
        layout.log("train", "{system}"),
    benchmark:
        layout.benchmark("train", "{system}")
    resources:
        **GPU,
    message:
        "train: {wildcards.system}"
    shell:
        "reseed train --config config.yaml --system {wildcards.system} --store {params.store:q} --model {params.model}"
        " >{log} 2>&1"


rule enhance:
    input:
        store=layout.store(BACKBONE, EVALUATION) / "store.json",
        model=layout.model("{system}") / "model.json",
    output:
        enhanced=layout.store(BACKBONE, EVALUATION, "{system}") / "store.json",
    params:
        settings=RUN.digest("seed"),
        store=layout.store(BACKBONE, EVALUATION),
        model=str(layout.model("{system}")),
        enhanced=str(layout.store(BACKBONE, EVALUATION, "{system}")),
    log:
        layout.log("enhance", "{system}"),
    benchmark:
        layout.benchmark("enhance", "{system}")
    resources:
        **GPU,
    message:
        "enhance: {wildcards.system}"
    shell:
        "reseed enhance --config config.yaml --store {params.store:q} --model {params.model}"
        " --enhanced {params.enhanced} >{log} 2>&1"


rule score:
    input:
        store=lambda wildcards: layout.store(BACKBONE, EVALUATION, wildcards.system) / "store.json",
        trials=layout.TRIALS,
        utterances=layout.manifest(EVALUATION, "speech"),
    output:
        scores=layout.scores("{system}"),
        identification=layout.identification("{system}"),
    params:
        settings=RUN.digest("score"),
        store=lambda wildcards: layout.store(BACKBONE, EVALUATION, wildcards.system),
    log:
        layout.log("score", "{system}"),
    benchmark:
        layout.benchmark("score", "{system}")
    message:
        "score: {wildcards.system}"
    shell:
        "reseed score --config config.yaml --system {wildcards.system} --store {params.store:q} --trials {input.trials}"
        " --utterances {input.utterances:q} --scores {output.scores} --identification {output.identification}"
        " >{log} 2>&1"


rule report:
    input:
        scores=[layout.scores(system) for system in SYSTEMS],
        identification=[layout.identification(system) for system in SYSTEMS],
        utterances=layout.manifest(EVALUATION, "speech"),
    output:
        page=layout.PAGE,
        metrics=layout.METRICS,
    params:
        settings=RUN.digest("report", "name", "title", "note"),
        scores=shlex.join(f"--scores={layout.scores(system)}" for system in SYSTEMS),
        identification=shlex.join(f"--identification={layout.identification(system)}" for system in SYSTEMS),
        stores=shlex.join(f"--store={layout.store(BACKBONE, EVALUATION, system)}" for system in SYSTEMS),
        report=layout.REPORT,
    log:
        layout.log("report"),
    benchmark:
        layout.benchmark("report")
    message:
        "report: {output.page}"
    shell:
        "reseed report --config config.yaml {params.scores} {params.identification} {params.stores}"
        " --utterances {input.utterances:q} --report {params.report} >{log} 2>&1"
