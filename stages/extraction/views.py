"""What a store declares once some of its views are gone."""

from collections.abc import Collection
from dataclasses import replace

from reseed.stages.audio.recipe import View, sources_needed
from reseed.store import Declaration
from reseed.store.inputs import ExtractedInputs


def without_views(declaration: Declaration, gone: Collection[str]) -> Declaration:
    """Declare a store without some views; one that was extracted as if they had never been asked for."""
    left = {name: recipe for name, recipe in declaration.views.items() if name not in gone}
    inputs = declaration.inputs
    if not isinstance(inputs, ExtractedInputs):
        return replace(declaration, views=left)
    views = {name: View.model_validate(recipe) for name, recipe in left.items()}
    needed = {"utterances", *sources_needed(views)}
    coded = any(view.codec for view in views.values())
    return replace(
        declaration,
        views=left,
        inputs=replace(
            inputs,
            manifests={role: found for role, found in inputs.manifests.items() if role in needed},
            rendering={key: value for key, value in inputs.rendering.items() if coded or key != "libsndfile"},
        ),
        lineage=tuple(each for each in declaration.lineage if each.role in needed or each.role not in inputs.manifests),
    )
