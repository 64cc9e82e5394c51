"""The recipe of a retraining, from a name and single options, and what of it does nothing for a network."""

from __future__ import annotations

from replaytree.config.final_recipes import USUAL_CUTOUT, USUAL_EPOCHS, final_recipe
from replaytree.config.retraining import RetrainOptions
from replaytree.deliver.subject import Subject
from replaytree.space import Graph
from replaytree.training import Recipe
from replaytree.training.schedule import cycle_of


def full_recipe(
    subject: Subject, options: RetrainOptions, *, preset: str | None, epochs: int | None
) -> tuple[Recipe, int]:
    """The recipe and the epochs. `options` have those of the preset already (with_final)."""
    final = None if preset is None else final_recipe(preset)
    share, usual = (USUAL_CUTOUT, USUAL_EPOCHS) if final is None else (final.cutout_share, final.epochs)
    recipe = Recipe.full(subject.data, options, normed=subject.graph.is_normed, cutout_share=share)
    return recipe, usual if epochs is None else epochs


def recipe_notes(graph: Graph, recipe: Recipe, *, epochs: int) -> list[str]:
    """What of a recipe does nothing for a network, or ends half-way, as sentences."""
    notes = []
    if recipe.drop_path and not any(node.drop for node in graph.nodes):
        notes.append("this network has no parts that drop-path may drop, so --drop-path does nothing")
    if recipe.auxiliary_weight and graph.auxiliary is None:
        notes.append("this network has no place for a second classifier, so --auxiliary-weight does nothing")
    if recipe.schedule == "cosine" and recipe.restart_epochs is not None:
        start, length = cycle_of(epochs, first=recipe.restart_epochs, factor=recipe.restart_factor)
        if start != epochs:
            better = f"{start:g} or {start + length:g}" if start else f"{start + length:g}"
            notes.append(
                f"the rate is not at its lowest after epoch {epochs}, where a cycle is half-way; --epochs {better} "
                f"end one"
            )
    return notes
