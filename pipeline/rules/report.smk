"""The report."""


rule report:
    input:
        scores=files(INPUTS.reported_scores),
        identification=files(INPUTS.reported_identification),
        utterances=layout.manifest(EVALUATION, PLAN.kind),
        frontends=files(INPUTS.reported_frontends),
        leakage=layout.LEAKAGE,
    output:
        page=layout.PAGE,
        metrics=layout.METRICS,
    params:
        usage=str(layout.usage("report")),
        settings=RUN.report_digest(),
        scores=options(INPUTS.reported_scores),
        identification=options(INPUTS.reported_identification),
        stores=options(INPUTS.reported_stores),
        frontends=options(INPUTS.reported_frontends),
        report=layout.REPORT,
    log:
        layout.log("report"),
    message:
        "report: {output.page}"
    shell:
        "reseed --usage {params.usage}"
        " report --config config.yaml {params.scores} {params.identification} {params.stores} {params.frontends}"
        " --utterances {input.utterances:q} --leakage {input.leakage} --out {params.report} >{log} 2>&1"
