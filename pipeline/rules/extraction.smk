"""Embeddings: each job of a store seals its shards, then the store is sealed."""


rule extract:
    input:
        sources=files(INPUTS.manifests, "split"),
        trained=files(INPUTS.trained, "backbone"),
    output:
        marker=layout.extracted("{backbone}", "{split}", "{job}"),
    params:
        usage=str(layout.usage("extract", "{backbone}", "{split}", "{job}")),
        settings=of(INPUTS.extraction_digest, "backbone", "split"),
        weights=RUN.backbone_files(),
        sources=options(INPUTS.manifests, "split"),
        store=str(layout.store("{backbone}", "{split}")),
        recipe=of(INPUTS.section, "split"),
        trained=options(INPUTS.trained, "backbone"),
        jobs=RUN.extract.jobs,
    log:
        layout.log("extract", "{backbone}", "{split}", "{job}"),
    resources:
        **GPU,
    retries: 1
    group:
        EXTRACTION
    message:
        "extract: {wildcards.split} by {wildcards.backbone}, job {wildcards.job} of {params.jobs}"
    shell:
        "reseed --usage {params.usage}"
        " extract --config config.yaml --section {params.recipe} {params.trained} {params.sources}"
        " --store {params.store:q} --job {wildcards.job}/{params.jobs} >{log} 2>&1"


rule seal:
    input:
        sources=files(INPUTS.manifests, "split"),
        trained=files(INPUTS.trained, "backbone"),
        jobs=[layout.extracted("{backbone}", "{split}", str(job)) for job in range(RUN.extract.jobs)],
    output:
        store=layout.store_json("{backbone}", "{split}"),
    params:
        usage=str(layout.usage("seal", "{backbone}", "{split}")),
        sources=rules.extract.params.sources,
        store=rules.extract.params.store,
        recipe=rules.extract.params.recipe,
        trained=rules.extract.params.trained,
    log:
        layout.log("seal", "{backbone}", "{split}"),
    group:
        EXTRACTION
    message:
        "seal: the store of {wildcards.split} by {wildcards.backbone}"
    shell:
        "reseed --usage {params.usage}"
        " extract --config config.yaml --section {params.recipe} {params.trained} {params.sources}"
        " --store {params.store:q} >{log} 2>&1"
