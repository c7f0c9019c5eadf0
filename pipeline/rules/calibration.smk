"""Scores to likelihood ratios, fitted on speakers held out of the training split."""


rule divide:
    input:
        utterances=layout.manifest(TRAIN, PLAN.kind),
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
        settings=RUN.trials_digest(generated=True),
    log:
        layout.log("held_out_trials"),
    message:
        "trials: of speakers held out of {TRAIN}"
    shell:
        "reseed trials --config config.yaml --set trials.list=null --set trials.enrolment=null"
        " --utterances {input.utterances:q} --trials {output.trials} --enrolments {output.enrolments} >{log} 2>&1"


rule score_held_out:
    input:
        cohort=files(INPUTS.cohort, "system"),
        store=of(INPUTS.held_out, "system"),
        trials=layout.HELD_OUT_TRIALS,
        enrolments=layout.HELD_OUT_ENROLMENTS,
        utterances=layout.manifest(TRAIN, PLAN.kind),
    output:
        scores=layout.held_out_scores("{system}"),
    params:
        settings=RUN.score_digest(),
        store=folder(INPUTS.held_out, "system"),
        cohort=options(INPUTS.cohort, "system"),
    log:
        layout.log("score_held_out", "{system}"),
    message:
        "score: {wildcards.system}, speakers held out"
    shell:
        "reseed score --config config.yaml --allow-missing --system {wildcards.system}"
        " --store {params.store:q} --trials {input.trials} --enrolments {input.enrolments}"
        " --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} >{log} 2>&1"


rule quality:
    input:
        store=layout.store_json(BACKBONE, "{split}"),
        reference=layout.store_json(BACKBONE, TRAIN),
        utterances=layout.manifest("{split}", PLAN.kind),
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
        scores=files(INPUTS.calibrated_from, "name"),
        quality=files(INPUTS.quality),
        enrolments=[layout.HELD_OUT_ENROLMENTS, layout.ENROLMENTS],
    output:
        calibrated=layout.calibrated("{name}"),
    params:
        settings=RUN.digest("calibrate"),
        files=options(INPUTS.calibrated_from, "name"),
        quality=options(INPUTS.quality),
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
