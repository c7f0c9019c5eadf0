"""What an extraction declares: names, numbers and digests alone, so that the fingerprint survives moving files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import soundfile

from reseed.stages.audio.draw import RENDERING
from reseed.stages.audio.vad.speech import detector_identity
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.table import backbone_class, backbone_code
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.frontends.folder import FrontendInfo
from reseed.store import Declaration, StoreError
from reseed.store.atomic import digest
from reseed.store.inputs import Edit, ExtractedInputs, Parent
from reseed.store.url import AnyPath


def declare(
    order: ExtractOrder, manifests: Mapping[str, str], backbone: Backbone, frontend: FrontendInfo | None
) -> Declaration:
    """Declare the store of an order.

    Args:
        manifests: role -> digest.
    """
    settings = order.settings
    coded = any(view.codec for view in settings.views.values())
    inputs = ExtractedInputs(
        backbone=backbone.identity(),
        precision=settings.precision,
        crops=settings.crops.model_dump(),
        seed=order.seed,
        rendering={
            **RENDERING,
            **({"libsndfile": soundfile.__libsndfile_version__} if coded else {}),
            **detector_identity(settings.crops.vad),
        },
        manifests=manifests,
        plugins=backbone_code(order.backbone) or None,
    )
    return Declaration(
        dim=backbone.embedding_dim,
        dtype=settings.dtype,
        vectors=settings.vectors,
        views={name: view.recipe() for name, view in settings.views.items()},
        crops=settings.crops.count,
        space=backbone.space,
        inputs=inputs,
        lineage=(
            *(Parent(role=role, path=str(order.manifests[role]), digest=found) for role, found in manifests.items()),
            *_networks(order, digest(inputs.backbone), frontend),
        ),
    )


def _networks(order: ExtractOrder, identity: str, frontend: FrontendInfo | None) -> list[Parent]:
    name, settings = order.backbone, dict(order.backbone_settings)
    path = next(iter(backbone_class(name).Config.files(settings)), name)
    backbone = Parent(role="backbone", path=str(path), digest=identity, name=name, settings=settings)
    if frontend is None:
        return [backbone]
    path, weights = str(order.frontend), frontend.weights_sha256
    return [backbone, Parent(role="frontend", path=path, digest=weights, name=frontend.method)]


def extracted_inputs(declaration: Declaration, store: AnyPath) -> ExtractedInputs:
    """Return what an extracted store was declared to be made from.

    Raises:
        StoreError: it was not extracted from recordings.
    """
    if not isinstance(declaration.inputs, ExtractedInputs) or declaration.parent("backbone") is None:
        raise StoreError(f"{store} was not extracted from audio by this version; there is nothing to render again")
    return declaration.inputs


def check_same_recipe(
    store: AnyPath, before: Declaration, now: Declaration, outcome: str = "nothing can be appended"
) -> None:
    """Check that all that decides a vector, given its utterance, is what it was.

    Args:
        outcome: what comes of it where it is not.

    Raises:
        StoreError: it is not; names what differs.
    """
    ours, theirs = _recipe(before, store), _recipe(now, store)
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if differing:
        shown = "; ".join(f"{key}: {ours.get(key)} in the store, {theirs.get(key)} now" for key in differing)
        raise StoreError(f"{store} was made by another recipe, so {outcome} ({shown})")


def check_extends(store: AnyPath, before: Declaration, now: Declaration) -> None:
    """Check that a declaration is that of a store with more views: all that decides what is there is what it was.

    Raises:
        StoreError: it is not; names what differs.
    """
    was, inputs = extracted_inputs(before, store), extracted_inputs(now, store)
    alike = replace(
        inputs,
        manifests={role: found for role, found in inputs.manifests.items() if role in was.manifests},
        rendering={key: value for key, value in inputs.rendering.items() if key in {*was.rendering, *RENDERING}},
    )
    views = {name: recipe for name, recipe in now.views.items() if name in before.views}
    check_same_recipe(store, before, replace(now, views=views, inputs=alike), "no view can be added")


def extended_declaration(before: Declaration, now: Declaration, edits: Sequence[Edit], store: AnyPath) -> Declaration:
    """Declare a store with the views of `now`, and what it was edited by since its utterances were first declared."""
    was, inputs = extracted_inputs(before, store), extracted_inputs(now, store)
    if inputs.manifests["utterances"] == was.manifests["utterances"]:
        return replace(now, inputs=replace(inputs, edits=tuple(edits)))
    manifests = {**inputs.manifests, "utterances": was.manifests["utterances"]}
    lineage = [before.parent("utterances") if parent.role == "utterances" else parent for parent in now.lineage]
    return replace(
        now,
        inputs=replace(inputs, manifests=manifests, edits=tuple(edits)),
        lineage=tuple(filter(None, lineage)),
    )


def _recipe(declaration: Declaration, store: AnyPath) -> dict[str, Any]:
    inputs = extracted_inputs(declaration, store)
    return {
        **{key: getattr(declaration, key) for key in ("dim", "dtype", "views", "space", "vectors")},
        **{key: getattr(inputs, key) for key in ("backbone", "precision", "crops", "seed", "rendering", "plugins")},
        **{f"{role} manifest": found for role, found in inputs.manifests.items() if role != "utterances"},
        **inputs.further,
    }
