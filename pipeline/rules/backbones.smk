"""Backbones and front ends that the run trains."""


rule train_backbone:
    input:
        utterances=layout.manifest(TRAIN, "speech") if not RUN.calibrate else layout.rest(TRAIN),
        sources=files(INPUTS.sounds, "backbone"),
        start=files(INPUTS.start, "backbone"),
    output:
        backbone=layout.backbone_json("{backbone}"),
    params:
        usage=str(layout.usage("train_backbone", "{backbone}")),
        settings=of(INPUTS.backbone_digest, "backbone"),
        sources=options(INPUTS.sounds, "backbone"),
        start=options(INPUTS.start, "backbone"),
        model=str(layout.backbone("{backbone}")),
    log:
        layout.log("train_backbone", "{backbone}"),
    threads: RUN.threads
    resources:
        **GPU,
    message:
        "train-backbone: {wildcards.backbone}"
    shell:
        "reseed --usage {params.usage}"
        " train-backbone --config config.yaml --name {wildcards.backbone} --utterances {input.utterances:q}"
        " {params.sources} {params.start} --model {params.model} >{log} 2>&1"


rule train_frontend:
    input:
        utterances=layout.manifest(TRAIN, "speech"),
        sources=files(INPUTS.sounds, "frontend"),
        store=layout.store_json(BACKBONE, TRAIN),
    output:
        frontend=layout.frontend_json("{frontend}"),
    params:
        usage=str(layout.usage("train_frontend", "{frontend}")),
        settings=of(INPUTS.backbone_digest, "frontend"),
        sources=options(INPUTS.sounds, "frontend"),
        store=layout.store(BACKBONE, TRAIN),
        model=str(layout.frontend("{frontend}")),
    log:
        layout.log("train_frontend", "{frontend}"),
    threads: RUN.threads
    resources:
        **GPU,
    message:
        "train-frontend: {wildcards.frontend}"
    shell:
        "reseed --usage {params.usage}"
        " train-frontend --config config.yaml --name {wildcards.frontend} --utterances {input.utterances:q}"
        " {params.sources} --store {params.store:q} --model {params.model} >{log} 2>&1"
