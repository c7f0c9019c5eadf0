"""Recordings: made where the run makes them, listed, and put into trials."""


rule synthesise:
    output:
        marker=layout.SYNTHETIC_MARKER,
    params:
        usage=str(layout.usage("synthesise")),
        settings=RUN.digest("synthesise", "seed"),
    log:
        layout.log("synthesise"),
    threads: workflow.cores or 1
    message:
        "synthesise: voices, noises, music and rooms"
    shell:
        "reseed --usage {params.usage}"
        " synthesise --config config.yaml --root {layout.SYNTHETIC_ROOT} >{log} 2>&1"


rule prepare:
    input:
        synthetic=[layout.SYNTHETIC_MARKER] if RUN.synthesise else [],
        speakers=RUN.corpus.prepare.speakers or [],
    output:
        utterances=layout.manifest("{split}", "{kind}"),
        rejects=layout.rejects("{split}", "{kind}"),
    params:
        usage=str(layout.usage("prepare", "{split}", "{kind}")),
        settings=RUN.corpus_digest(),
        source=of(INPUTS.source_options, "split", "kind"),
        listing=of(INPUTS.listing, "split", "kind"),
    log:
        layout.log("prepare", "{split}", "{kind}"),
    priority: 50
    message:
        "prepare: {wildcards.kind} of {wildcards.split}"
    shell:
        "reseed --usage {params.usage}"
        " prepare --config config.yaml {params.source} --kind {wildcards.kind}"
        " --utterances {output.utterances:q} --rejects {output.rejects:q} >{log} 2>&1"


# Before anything is extracted: what is shared makes every figure of the run too good.
rule leakage:
    input:
        sides=[option.file for heard in INPUTS.leakage().values() for option in heard],
    output:
        found=layout.LEAKAGE,
    params:
        sides=INPUTS.leakage_options(),
    log:
        layout.log("leakage"),
    priority: 100
    message:
        "leakage: {TRAIN} against {EVALUATION}"
    shell:
        "reseed leakage {params.sides} --out {output.found} >{log} 2>&1"


rule trials:
    input:
        utterances=layout.manifest(EVALUATION, PLAN.kind),
        lists=[path for path in (RUN.trials.list, RUN.trials.enrolment) if path],
    output:
        trials=layout.TRIALS,
        enrolments=layout.ENROLMENTS,
    params:
        usage=str(layout.usage("trials")),
        settings=RUN.trials_digest(),
    log:
        layout.log("trials"),
    message:
        "trials: of {EVALUATION}"
    shell:
        "reseed --usage {params.usage}"
        " trials --config config.yaml --utterances {input.utterances:q} --trials {output.trials}"
        " --enrolments {output.enrolments} >{log} 2>&1"
