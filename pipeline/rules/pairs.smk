"""Pairs of backbones: aligned, mapped into one space, scored against each other."""


rule align:
    input:
        stores=files(INPUTS.paired, "pair"),
    output:
        model=layout.alignment_json("{pair}", "{alignment}"),
    params:
        usage=str(layout.usage("align", "{pair}", "{alignment}")),
        settings=of(INPUTS.alignment_digest, "alignment"),
        stores=options(INPUTS.paired, "pair"),
        model=str(layout.alignment("{pair}", "{alignment}")),
    log:
        layout.log("align", "{pair}", "{alignment}"),
    threads: RUN.threads
    message:
        "align: {wildcards.pair} by {wildcards.alignment}"
    shell:
        "reseed --usage {params.usage}"
        " align --config config.yaml --name {wildcards.alignment} {params.stores} --model {params.model}"
        " >{log} 2>&1"


rule map:
    input:
        store=of(INPUTS.mapped_from, "pair", "side", "split"),
        model=layout.alignment_json("{pair}", "{alignment}"),
    output:
        mapped=layout.store_json("{pair}/{alignment}/{side}", "{split}"),
    params:
        store=folder(INPUTS.mapped_from, "pair", "side", "split"),
        model=str(layout.alignment("{pair}", "{alignment}")),
        mapped=str(layout.store("{pair}/{alignment}/{side}", "{split}")),
    log:
        layout.log("map", "{pair}", "{alignment}", "{side}", "{split}"),
    message:
        "map: {wildcards.split}, the {wildcards.side} side of {wildcards.pair} by {wildcards.alignment}"
    shell:
        "reseed map --store {params.store:q} --model {params.model} --side {wildcards.side} --mapped {params.mapped}"
        " >{log} 2>&1"


rule score_pair:
    input:
        cohort=files(INPUTS.pair_cohort, "pair", "aligned"),
        stores=files(INPUTS.aligned, "pair", "aligned"),
        trials=layout.TRIALS,
        enrolments=layout.ENROLMENTS,
        utterances=layout.manifest(EVALUATION, PLAN.kind),
    output:
        scores=layout.scores("{pair}/{aligned}"),
        identification=layout.identification("{pair}/{aligned}"),
    params:
        settings=RUN.score_digest(),
        stores=options(INPUTS.aligned, "pair", "aligned"),
        cohort=options(INPUTS.pair_cohort, "pair", "aligned"),
    log:
        layout.log("score", "{pair}", "{aligned}"),
    message:
        "score: {wildcards.pair} by {wildcards.aligned}"
    shell:
        "reseed score --config config.yaml --system {wildcards.pair}:{wildcards.aligned} {params.stores}"
        " --trials {input.trials} --enrolments {input.enrolments} --utterances {input.utterances:q} {params.cohort}"
        " --scores {output.scores} --identification {output.identification} >{log} 2>&1"
