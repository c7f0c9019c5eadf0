"""The DAG of a run: every rule is one `reseed` command; paths come from reseed.pipeline.layout, settings from config.yaml.

`reseed run CONFIG` writes config.yaml into the run's folder and calls Snakemake there. Changing a section of the
configuration runs the rules again whose `params` digest it, and what follows from them.
"""

import shlex
from pathlib import Path

from reseed.pipeline import layout, names
from reseed.pipeline.config import load_config
from reseed.pipeline.names import SIDES, AlignedEmbeddings, AlignedPair, Embeddings
from reseed.stages.audio.sources import listing_digest

RUN = load_config(Path(config.get("settings", layout.CONFIG)))
BACKBONE = RUN.backbone.name
TRAIN, EVALUATION = RUN.corpus.train, RUN.corpus.evaluation
RECIPES = {TRAIN: "train", EVALUATION: "evaluation"}
MEASURED = bool(RUN.calibrate and RUN.calibrate.quality)
# Training speech is enhanced only where scores are normalised against it, or calibrated on it.
COHORT = RUN.cohort()
SCORED = [EVALUATION, *([TRAIN] if COHORT or RUN.calibrate else [])]
# Several trainings on one machine take turns worse than they share: two of one thread are faster than one of two.
SHARE = max(1, (workflow.cores or 1) // max(1, len(RUN.trained_backbones)))
# On a cluster a job asks for a GPU where the run says `device: cuda`; `auto` takes one where the job has one.
GPU = {"gpu": 1, "gpu_manufacturer": "nvidia"} if RUN.device.startswith("cuda") else {}


def sources(split):
    """The manifests that extraction of a split reads, by the name of the option of `reseed extract` that takes each."""
    return {source: layout.manifest(*place) for source, place in RUN.recordings(split).items()}


def options(named):
    """Paths by the option that takes each, as a command line has them."""
    return shlex.join(f"--{option}={path}" for option, path in named.items())


def store(embeddings, split):
    """The store.json of one split of embeddings."""
    return layout.store(str(embeddings), split) / "store.json"


def embeddings(scored):
    """The embeddings behind a score file."""
    return str(Embeddings.of_scores(scored, BACKBONE))


def cohort(test, enrolment=""):
    """What embeddings are normalised against: input files by name, and the options of `reseed score`."""
    if not COHORT:
        return {}, ""
    named = {"cohort": layout.store(test, TRAIN), "cohort-utterances": COHORT}
    named |= {"enrolment-cohort": layout.store(enrolment, TRAIN)} if enrolment else {}
    stores = [store(name, TRAIN) for name in (test, enrolment) if name]
    return {"cohort": stores, "cohort_utterances": COHORT}, options(named)


def trained(backbone):
    """What says that a backbone or front end of the run's own is trained; the configured one needs no training."""
    if backbone == BACKBONE:
        return []
    if backbone in RUN.frontends:
        return [layout.frontend(backbone) / "frontend.json"]
    return [layout.backbone(backbone) / "backbone.json"]


def by_trained(backbone):
    """The option of `reseed extract` that names what is trained."""
    option = "frontend" if backbone in RUN.frontends else "trained"
    return options({option: path.parent for path in trained(backbone)})


def started_from(backbone):
    """What training a backbone starts from and stays near: input files, and options of `reseed train-backbone`."""
    training, base = RUN.backbones[backbone], RUN.base_of(backbone)
    named = {"base": layout.backbone(base)} if base in RUN.backbones else {}
    named |= {"anchors": layout.store(base, TRAIN)} if training.anchored else {}
    files = [*trained(base), *([store(base, TRAIN)] if training.anchored else [])]
    return files, options(named)


def recipe(wildcards):
    """A digest of what an extraction depends on beside its sources."""
    made = "frontends" if wildcards.backbone in RUN.frontends else "backbones"
    own = ["backbone"] if wildcards.backbone == BACKBONE else [f"{made}.{wildcards.backbone}"]
    return RUN.digest(*own, "seed", "extract.shards", "extract.jobs", f"extract.{RECIPES[wildcards.split]}")


def fused(name):
    """The systems behind a calibrated score file."""
    return RUN.fused.get(name, [name])


def learnt_from(wildcards):
    """What an enhancer is learnt from."""
    return names.enhanced_by(wildcards.model, BACKBONE)


def enhancer_of(wildcards):
    """What enhanced embeddings are made of."""
    return names.parse_embeddings(wildcards.enhanced)


def paired(wildcards):
    """The embeddings of either side of a pair."""
    aligned = AlignedPair.parse(f"{wildcards.pair}/alignment")
    return {"enrolment": str(aligned.enrolment), "test": str(aligned.test)}


def sides(wildcards):
    """The embeddings of the test side and of the enrolment side of a pair that is aligned."""
    aligned = AlignedPair.parse(f"{wildcards.pair}/{wildcards.aligned}")
    return [str(AlignedEmbeddings(aligned, side)) for side in ("test", "enrolment")]


def listing(split, kind):
    """A digest of which files a corpus folder holds: files that are added, removed or changed are prepared anew.

    Published data sets do not change, and hold a million files.
    """
    source = RUN.source(split, kind)
    return "" if RUN.synthesise or source.dataset else listing_digest(source.path)


def chosen(split, kind):
    """The options of `reseed prepare` that say where the recordings lie and which of them are wanted."""
    source = RUN.source(split, kind)
    given = [f"--source={source.path}", *([f"--split={source.split}"] if source.split else [])]
    return shlex.join([*given, *([f"--set=corpus.prepare.dataset={source.dataset}"] if source.dataset else [])])


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


# Every artefact is asked for by name: Snakemake takes a run for finished when the last one is there, even if a step
# that was to be repeated has failed or been killed and its old output is gone.
rule all:
    input:
        [list(sources(split).values()) for split in RECIPES],
        [trained(name) for name in RUN.trained_backbones],
        [
            layout.extracted(backbone, split, str(job))
            for backbone, split in RUN.extracted
            for job in range(RUN.extract.jobs)
        ],
        [store(backbone, split) for backbone, split in RUN.extracted],
        layout.TRIALS,
        [layout.model(system) / "model.json" for system in RUN.train],
        [store(embeddings(system), split) for split in SCORED for system in RUN.train],
        [store(each, EVALUATION) for each in RUN.scored_by_themselves],
        [store(AlignedEmbeddings(pair, side), EVALUATION) for pair in RUN.aligned_pairs for side in SIDES],
        [scored.scores for scored in RUN.scored],
        [layout.calibrated(name) for name in RUN.calibrated],
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
        speakers=RUN.corpus.prepare.speakers or [],
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
        enrolments=layout.ENROLMENTS,
    params:
        settings=RUN.digest("trials", "seed"),
    log:
        layout.log("trials"),
    benchmark:
        layout.benchmark("trials")
    message:
        "trials: of {EVALUATION}"
    shell:
        "reseed trials --config config.yaml --utterances {input.utterances:q} --trials {output.trials}"
        " --enrolments {output.enrolments} >{log} 2>&1"


rule train_backbone:
    input:
        utterances=layout.manifest(TRAIN, "speech") if not RUN.calibrate else layout.rest(TRAIN),
        sources=lambda wildcards: list(RUN.heard_by(wildcards.backbone).values()),
        start=lambda wildcards: started_from(wildcards.backbone)[0],
    output:
        backbone=layout.backbone("{backbone}") / "backbone.json",
    params:
        settings=lambda wildcards: RUN.digest("seed", f"backbones.{wildcards.backbone}"),
        sources=lambda wildcards: options(RUN.heard_by(wildcards.backbone)),
        start=lambda wildcards: started_from(wildcards.backbone)[1],
        model=str(layout.backbone("{backbone}")),
    log:
        layout.log("train_backbone", "{backbone}"),
    benchmark:
        layout.benchmark("train_backbone", "{backbone}")
    threads: SHARE
    resources:
        **GPU,
    message:
        "train-backbone: {wildcards.backbone}"
    shell:
        "reseed train-backbone --config config.yaml --name {wildcards.backbone} --utterances {input.utterances:q}"
        " {params.sources} {params.start} --model {params.model} >{log} 2>&1"


rule train_frontend:
    input:
        utterances=layout.manifest(TRAIN, "speech"),
        sources=lambda wildcards: list(RUN.heard_by(wildcards.frontend).values()),
        store=store(BACKBONE, TRAIN),
    output:
        frontend=layout.frontend("{frontend}") / "frontend.json",
    params:
        settings=lambda wildcards: RUN.digest("seed", f"frontends.{wildcards.frontend}"),
        sources=lambda wildcards: options(RUN.heard_by(wildcards.frontend)),
        store=layout.store(BACKBONE, TRAIN),
        model=str(layout.frontend("{frontend}")),
    log:
        layout.log("train_frontend", "{frontend}"),
    benchmark:
        layout.benchmark("train_frontend", "{frontend}")
    threads: SHARE
    resources:
        **GPU,
    message:
        "train-frontend: {wildcards.frontend}"
    shell:
        "reseed train-frontend --config config.yaml --name {wildcards.frontend} --utterances {input.utterances:q}"
        " {params.sources} --store {params.store:q} --model {params.model} >{log} 2>&1"


rule extract:
    input:
        sources=lambda wildcards: list(sources(wildcards.split).values()),
        trained=lambda wildcards: trained(wildcards.backbone),
    output:
        marker=touch(layout.extracted("{backbone}", "{split}", "{job}")),
    params:
        settings=recipe,
        weights=RUN.backbone_files(),
        sources=lambda wildcards: options(sources(wildcards.split)),
        store=str(layout.store("{backbone}", "{split}")),
        recipe=lambda wildcards: RECIPES[wildcards.split],
        trained=lambda wildcards: by_trained(wildcards.backbone),
        jobs=RUN.extract.jobs,
    log:
        layout.log("extract", "{backbone}", "{split}", "{job}"),
    benchmark:
        layout.benchmark("extract", "{backbone}", "{split}", "{job}")
    resources:
        **GPU,
    retries: 1
    message:
        "extract: {wildcards.split} by {wildcards.backbone}, job {wildcards.job} of {params.jobs}"
    shell:
        "reseed extract --config config.yaml --section {params.recipe} {params.trained} {params.sources}"
        " --store {params.store:q} --job {wildcards.job}/{params.jobs} >{log} 2>&1"


rule seal:
    input:
        sources=lambda wildcards: list(sources(wildcards.split).values()),
        trained=lambda wildcards: trained(wildcards.backbone),
        jobs=[layout.extracted("{backbone}", "{split}", str(job)) for job in range(RUN.extract.jobs)],
    output:
        store=layout.store("{backbone}", "{split}") / "store.json",
    params:
        sources=rules.extract.params.sources,
        store=rules.extract.params.store,
        recipe=rules.extract.params.recipe,
        trained=rules.extract.params.trained,
    log:
        layout.log("seal", "{backbone}", "{split}"),
    benchmark:
        layout.benchmark("seal", "{backbone}", "{split}")
    message:
        "seal: the store of {wildcards.split} by {wildcards.backbone}"
    shell:
        "reseed extract --config config.yaml --section {params.recipe} {params.trained} {params.sources}"
        " --store {params.store:q} >{log} 2>&1"


rule train:
    input:
        store=lambda wildcards: store(learnt_from(wildcards).before, TRAIN),
    output:
        model=layout.model("{model}") / "model.json",
    params:
        settings=lambda wildcards: RUN.digest("seed", f"train.{learnt_from(wildcards).enhancer}"),
        system=lambda wildcards: learnt_from(wildcards).enhancer,
        store=lambda wildcards: layout.store(str(learnt_from(wildcards).before), TRAIN),
        model=str(layout.model("{model}")),
    log:
        layout.log("train", "{model}"),
    benchmark:
        layout.benchmark("train", "{model}")
    resources:
        **GPU,
    message:
        "train: {wildcards.model}"
    shell:
        "reseed train --config config.yaml --system {params.system} --store {params.store:q} --model {params.model}"
        " >{log} 2>&1"


rule enhance:
    input:
        store=lambda wildcards: store(enhancer_of(wildcards).before, wildcards.split),
        model=lambda wildcards: layout.model(enhancer_of(wildcards).model(BACKBONE)) / "model.json",
    output:
        enhanced=layout.store("{enhanced}", "{split}") / "store.json",
    params:
        settings=RUN.digest("seed"),
        store=lambda wildcards: layout.store(str(enhancer_of(wildcards).before), wildcards.split),
        model=lambda wildcards: layout.model(enhancer_of(wildcards).model(BACKBONE)),
        enhanced=str(layout.store("{enhanced}", "{split}")),
    log:
        layout.log("enhance", "{split}", "{enhanced}"),
    benchmark:
        layout.benchmark("enhance", "{split}", "{enhanced}")
    resources:
        **GPU,
    message:
        "enhance: {wildcards.split}, {wildcards.enhanced}"
    shell:
        "reseed enhance --config config.yaml --store {params.store:q} --model {params.model}"
        " --enhanced {params.enhanced} >{log} 2>&1"


rule score:
    input:
        unpack(lambda wildcards: cohort(embeddings(wildcards.scored))[0]),
        store=lambda wildcards: store(embeddings(wildcards.scored), EVALUATION),
        trials=layout.TRIALS,
        enrolments=layout.ENROLMENTS,
        utterances=layout.manifest(EVALUATION, "speech"),
    output:
        scores=layout.scores("{scored}"),
        identification=layout.identification("{scored}"),
    params:
        settings=RUN.digest("score"),
        system=lambda wildcards: Embeddings.of_scores(wildcards.scored, BACKBONE).system(BACKBONE),
        store=lambda wildcards: layout.store(embeddings(wildcards.scored), EVALUATION),
        cohort=lambda wildcards: cohort(embeddings(wildcards.scored))[1],
    log:
        layout.log("score", "{scored}"),
    benchmark:
        layout.benchmark("score", "{scored}")
    message:
        "score: {wildcards.scored}"
    shell:
        "reseed score --config config.yaml --system {params.system} --store {params.store:q} --trials {input.trials}"
        " --enrolments {input.enrolments} --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} --identification {output.identification} >{log} 2>&1"


rule divide:
    input:
        utterances=layout.manifest(TRAIN, "speech"),
    output:
        held_out=layout.held_out(TRAIN),
        rest=layout.rest(TRAIN),
    params:
        settings=RUN.digest("seed", *(["calibrate.share"] if RUN.calibrate else [])),
    log:
        layout.log("divide"),
    message:
        "divide: speakers of {TRAIN} held out for calibration"
    shell:
        "reseed divide --config config.yaml --utterances {input.utterances:q} --held-out {output.held_out:q}"
        " --rest {output.rest:q} >{log} 2>&1"


# Trials among training speakers are always generated: a published list is of the evaluation speakers.
rule held_out_trials:
    input:
        utterances=layout.held_out(TRAIN),
    output:
        trials=layout.HELD_OUT_TRIALS,
        enrolments=layout.HELD_OUT_ENROLMENTS,
    params:
        settings=RUN.digest("trials", "seed"),
    log:
        layout.log("held_out_trials"),
    message:
        "trials: of speakers held out of {TRAIN}"
    shell:
        "reseed trials --config config.yaml --set trials.list=null --set trials.enrolment=null"
        " --utterances {input.utterances:q} --trials {output.trials} --enrolments {output.enrolments} >{log} 2>&1"


rule score_held_out:
    input:
        unpack(lambda wildcards: cohort(embeddings(wildcards.system))[0]),
        store=lambda wildcards: store(embeddings(wildcards.system), TRAIN),
        trials=layout.HELD_OUT_TRIALS,
        enrolments=layout.HELD_OUT_ENROLMENTS,
        utterances=layout.manifest(TRAIN, "speech"),
    output:
        scores=layout.held_out_scores("{system}"),
        identification=temp(layout.held_out_scores("{system}.identification")),
    params:
        settings=RUN.digest("score"),
        store=lambda wildcards: layout.store(embeddings(wildcards.system), TRAIN),
        cohort=lambda wildcards: cohort(embeddings(wildcards.system))[1],
    log:
        layout.log("score_held_out", "{system}"),
    message:
        "score: {wildcards.system}, speakers held out"
    shell:
        "reseed score --config config.yaml --allow-missing --system {wildcards.system}"
        " --store {params.store:q} --trials {input.trials} --enrolments {input.enrolments}"
        " --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} --identification {output.identification} >{log} 2>&1"


rule quality:
    input:
        store=lambda wildcards: store(BACKBONE, wildcards.split),
        reference=store(BACKBONE, TRAIN),
        utterances=layout.manifest("{split}", "speech"),
    output:
        quality=layout.quality("{split}"),
    params:
        store=str(layout.store(BACKBONE, "{split}")),
        reference=layout.store(BACKBONE, TRAIN),
    log:
        layout.log("quality", "{split}"),
    message:
        "quality: of {wildcards.split}"
    shell:
        "reseed quality --store {params.store:q} --reference {params.reference:q} --utterances {input.utterances:q}"
        " --quality {output.quality:q} >{log} 2>&1"


rule calibrate:
    input:
        held_out=lambda wildcards: [layout.held_out_scores(system) for system in fused(wildcards.name)],
        scores=lambda wildcards: [layout.scores(system) for system in fused(wildcards.name)],
        quality=[layout.quality(split) for split in (TRAIN, EVALUATION)] if MEASURED else [],
        enrolments=[layout.HELD_OUT_ENROLMENTS, layout.ENROLMENTS],
    output:
        calibrated=layout.calibrated("{name}"),
    params:
        settings=RUN.digest("calibrate"),
        files=lambda wildcards: shlex.join(
            option
            for system in fused(wildcards.name)
            for option in (f"--held-out={layout.held_out_scores(system)}", f"--scores={layout.scores(system)}")
        ),
        quality=shlex.join(
            [f"--held-out-quality={layout.quality(TRAIN)}", f"--quality={layout.quality(EVALUATION)}"]
            if MEASURED
            else []
        ),
        enrolments=shlex.join(
            [f"--held-out-enrolments={layout.HELD_OUT_ENROLMENTS}", f"--enrolments={layout.ENROLMENTS}"]
        ),
    log:
        layout.log("calibrate", "{name}"),
    message:
        "calibrate: {wildcards.name}"
    shell:
        "reseed calibrate --config config.yaml --system {wildcards.name} {params.files} {params.quality}"
        " {params.enrolments} --calibrated {output.calibrated} >{log} 2>&1"


rule align:
    input:
        stores=lambda wildcards: [store(name, TRAIN) for name in paired(wildcards).values()],
    output:
        model=layout.alignment("{pair}", "{alignment}") / "alignment.json",
    params:
        settings=lambda wildcards: RUN.digest("seed", f"align.{RUN.alignments[wildcards.alignment].entry}"),
        stores=lambda wildcards: options(
            {side: layout.store(name, TRAIN) for side, name in paired(wildcards).items()}
        ),
        model=str(layout.alignment("{pair}", "{alignment}")),
    log:
        layout.log("align", "{pair}", "{alignment}"),
    benchmark:
        layout.benchmark("align", "{pair}", "{alignment}")
    message:
        "align: {wildcards.pair} by {wildcards.alignment}"
    shell:
        "reseed align --config config.yaml --name {wildcards.alignment} {params.stores} --model {params.model}"
        " >{log} 2>&1"


rule map:
    input:
        store=lambda wildcards: store(paired(wildcards)[wildcards.side], wildcards.split),
        model=layout.alignment("{pair}", "{alignment}") / "alignment.json",
    output:
        mapped=layout.mapped("{pair}", "{alignment}", "{side}", "{split}") / "store.json",
    params:
        store=lambda wildcards: layout.store(paired(wildcards)[wildcards.side], wildcards.split),
        model=str(layout.alignment("{pair}", "{alignment}")),
        mapped=str(layout.mapped("{pair}", "{alignment}", "{side}", "{split}")),
    log:
        layout.log("map", "{pair}", "{alignment}", "{side}", "{split}"),
    message:
        "map: {wildcards.split}, the {wildcards.side} side of {wildcards.pair} by {wildcards.alignment}"
    shell:
        "reseed map --store {params.store:q} --model {params.model} --side {wildcards.side} --mapped {params.mapped}"
        " >{log} 2>&1"


rule score_pair:
    input:
        unpack(lambda wildcards: cohort(*sides(wildcards))[0]),
        stores=lambda wildcards: [store(name, EVALUATION) for name in sides(wildcards)],
        trials=layout.TRIALS,
        enrolments=layout.ENROLMENTS,
        utterances=layout.manifest(EVALUATION, "speech"),
    output:
        scores=layout.scores("{pair}/{aligned}"),
        identification=layout.identification("{pair}/{aligned}"),
    params:
        settings=RUN.digest("score"),
        stores=lambda wildcards: options(
            {option: layout.store(name, EVALUATION) for option, name in zip(("store", "enrolment"), sides(wildcards))}
        ),
        cohort=lambda wildcards: cohort(*sides(wildcards))[1],
    log:
        layout.log("score", "{pair}", "{aligned}"),
    message:
        "score: {wildcards.pair} by {wildcards.aligned}"
    shell:
        "reseed score --config config.yaml --system {wildcards.pair}:{wildcards.aligned} {params.stores}"
        " --trials {input.trials} --enrolments {input.enrolments} --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} --identification {output.identification} >{log} 2>&1"


rule report:
    input:
        scores=[scored.scores for scored in RUN.scored],
        calibrated=[layout.calibrated(name) for name in RUN.calibrated],
        identification=[scored.identification for scored in RUN.scored],
        utterances=layout.manifest(EVALUATION, "speech"),
        frontends=[layout.frontend(name) / "frontend.json" for name in RUN.frontends],
    output:
        page=layout.PAGE,
        metrics=layout.METRICS,
    params:
        settings=RUN.digest("report", "name", "title", "note"),
        scores=shlex.join(
            f"--scores={path}"
            for path in (*(scored.scores for scored in RUN.scored), *map(layout.calibrated, RUN.calibrated))
        ),
        identification=shlex.join(f"--identification={scored.identification}" for scored in RUN.scored),
        stores=shlex.join(f"--store={scored.store}" for scored in RUN.scored),
        frontends=shlex.join(f"--frontend={layout.frontend(name)}" for name in RUN.frontends),
        report=layout.REPORT,
    log:
        layout.log("report"),
    benchmark:
        layout.benchmark("report")
    message:
        "report: {output.page}"
    shell:
        "reseed report --config config.yaml {params.scores} {params.identification} {params.stores} {params.frontends}"
        " --utterances {input.utterances:q} --report {params.report} >{log} 2>&1"
