"""Enhancers: trained on a store, applied to others."""


rule train:
    input:
        store=of(INPUTS.learnt_from, "model"),
    output:
        model=layout.model_json("{model}"),
    params:
        usage=str(layout.usage("train", "{model}")),
        settings=of(INPUTS.training_digest, "model"),
        system=of(INPUTS.entry, "model"),
        store=folder(INPUTS.learnt_from, "model"),
        model=str(layout.model("{model}")),
    log:
        layout.log("train", "{model}"),
    threads: RUN.threads
    resources:
        **GPU,
    message:
        "train: {wildcards.model}"
    shell:
        "reseed --usage {params.usage}"
        " train --config config.yaml --system {params.system} --store {params.store:q} --model {params.model}"
        " >{log} 2>&1"


rule enhance:
    input:
        store=of(INPUTS.enhanced_from, "enhanced", "split"),
        model=of(INPUTS.enhancer, "enhanced"),
    output:
        enhanced=layout.store_json("{enhanced}", "{split}"),
    params:
        usage=str(layout.usage("enhance", "{split}", "{enhanced}")),
        settings=RUN.digest("seed"),
        store=folder(INPUTS.enhanced_from, "enhanced", "split"),
        model=folder(INPUTS.enhancer, "enhanced"),
        enhanced=str(layout.store("{enhanced}", "{split}")),
    log:
        layout.log("enhance", "{split}", "{enhanced}"),
    resources:
        **GPU,
    message:
        "enhance: {wildcards.split}, {wildcards.enhanced}"
    shell:
        "reseed --usage {params.usage}"
        " enhance --config config.yaml --store {params.store:q} --model {params.model}"
        " --enhanced {params.enhanced} >{log} 2>&1"
