"""Embeddings that another program computed: imported, or of a store another name, with a list of their labels."""


rule vectors:
    input:
        source=of(INPUTS.vectors, "split"),
    output:
        store=layout.store_json(BACKBONE, "{split}"),
        utterances=layout.manifest("{split}", PLAN.kind),
    params:
        usage=str(layout.usage("vectors", "{split}")),
        settings=RUN.digest("corpus.vectors", "name"),
        source=lambda wildcards: str(RUN.corpus.stores[wildcards.split]),
        store=str(layout.store(BACKBONE, "{split}")),
    log:
        layout.log("vectors", "{split}"),
    priority: 50
    message:
        "vectors: of {wildcards.split}"
    shell:
        "reseed --usage {params.usage}"
        " import {params.source:q} --config config.yaml --store {params.store} --utterances {output.utterances:q}"
        " >{log} 2>&1"


rule audit:
    input:
        store=layout.store_json(BACKBONE, EVALUATION),
        against=layout.store_json(BACKBONE, TRAIN),
    output:
        page=layout.AUDIT,
    params:
        usage=str(layout.usage("audit")),
        store=str(layout.store(BACKBONE, EVALUATION)),
        against=str(layout.store(BACKBONE, TRAIN)),
    log:
        layout.log("audit"),
    message:
        "audit: {EVALUATION} against {TRAIN}"
    shell:
        "reseed --usage {params.usage}"
        " audit {params.store} --against {params.against} --out {output.page} >{log} 2>&1"
