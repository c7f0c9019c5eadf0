"""Scores of all that is enrolled and tested against itself."""


rule score:
    input:
        cohort=files(INPUTS.cohort, "scored"),
        store=of(INPUTS.scored, "scored"),
        trials=layout.TRIALS,
        enrolments=layout.ENROLMENTS,
        utterances=layout.manifest(EVALUATION, PLAN.kind),
    output:
        scores=layout.scores("{scored}"),
        identification=layout.identification("{scored}"),
    params:
        usage=str(layout.usage("score", "{scored}")),
        settings=RUN.score_digest(),
        system=of(INPUTS.system, "scored"),
        store=folder(INPUTS.scored, "scored"),
        cohort=options(INPUTS.cohort, "scored"),
    log:
        layout.log("score", "{scored}"),
    message:
        "score: {wildcards.scored}"
    shell:
        "reseed --usage {params.usage}"
        " score --config config.yaml --system {params.system} --store {params.store:q} --trials {input.trials}"
        " --enrolments {input.enrolments} --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} --identification {output.identification} >{log} 2>&1"
