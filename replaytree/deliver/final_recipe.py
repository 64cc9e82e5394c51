"""The recipe of a retraining, from a name and single options, and what of it does nothing for a network."""

from __future__ import annotations

from dataclasses import asdict

from replaytree.config import SearchConfig
from replaytree.config.final_recipes import GPU_EPOCHS, USUAL_EPOCHS, final_recipe
from replaytree.config.option import own
from replaytree.config.retraining import RetrainOptions
from replaytree.config.text import TextOptions
from replaytree.data import TextData
from replaytree.deliver.subject import Subject
from replaytree.errors import ConfigError
from replaytree.space import Graph
from replaytree.space.network import Network
from replaytree.training import Recipe
from replaytree.training.precision import cpu_has_bfloat16
from replaytree.training.recipe import retrains_large
from replaytree.training.schedule import cycle_of

# The options of a retraining that a text has a use for, too.
_OF_BOTH = ("batch_size", "learning_rate")


def full_recipe(
    subject: Subject,
    options: RetrainOptions,
    *,
    preset: str | None,
    epochs: int | None,
    text: TextOptions = TextOptions(),  # noqa: B008 - it is frozen
    device: str = "cpu",
) -> tuple[Recipe, int]:
    """The recipe and the epochs. `options` have those of the preset already (with_final); `text` are those of a text.

    `device` is the kind of device that it is for.

    ConfigError for options that the other task alone has a use for.
    """
    final = None if preset is None else final_recipe(preset)
    share, usual = (None, USUAL_EPOCHS) if final is None else (final.cutout_share, final.epochs)
    if isinstance(subject.data, TextData):
        recipe = _of_text(subject.data, options, text)
    else:
        _refuse(text, TextOptions(), "text", "images")
        normed = subject.graph.is_normed
        recipe = Recipe.full(subject.data, options, normed=normed, cutout_share=share, device=device)
        if final is None and retrains_large(len(subject.data.train_labels), device=device):
            usual = GPU_EPOCHS
    return recipe, usual if epochs is None else epochs


def _of_text(data: TextData, options: RetrainOptions, text: TextOptions) -> Recipe:
    """That of a search on the text, with which it is trained longer."""
    _refuse(options, RetrainOptions(), "images", "text")
    given = {name: getattr(options, name) for name in _OF_BOTH if getattr(options, name) is not None}
    return Recipe.of(SearchConfig().with_options(**given, **asdict(text)), data)


def _refuse(given: RetrainOptions | TextOptions, usual: RetrainOptions | TextOptions, of: str, data: str) -> None:
    for name, declared in own(type(given)).items():
        if name not in _OF_BOTH and getattr(given, name) != getattr(usual, name):
            raise ConfigError(f"{declared.flag} is for {of}, and the data are {data}; leave it out")


def recipe_notes(graph: Network, recipe: Recipe, *, epochs: int, device: str = "cpu") -> list[str]:
    """What of a recipe does nothing for a network, ends half-way, or costs time, as sentences."""
    notes = []
    if recipe.precision == "bfloat16" and device == "cpu" and not cpu_has_bfloat16():
        notes.append("this CPU has no bfloat16, as far as torch knows, and may take longer than with float32")
    if recipe.drop_path and not graph.may_drop:
        notes.append("this network has no parts that drop-path may drop, so --drop-path does nothing")
    if recipe.auxiliary_weight and not (isinstance(graph, Graph) and graph.auxiliary is not None):
        notes.append("this network has no place for a second classifier, so --auxiliary-weight does nothing")
    if recipe.alternate_flip and not recipe.flip:
        notes.append("images are not mirrored, so --alternate-flip does nothing; give --flip, too")
    if recipe.padding != "zeros" and recipe.crop_padding == 0:
        notes.append(f"images are not padded, so --padding {recipe.padding} does nothing; give --crop-padding, too")
    if recipe.schedule == "cosine" and recipe.restart_epochs is not None:
        start, length = cycle_of(epochs, first=recipe.restart_epochs, factor=recipe.restart_factor)
        if start != epochs:
            better = f"{start:g} or {start + length:g}" if start else f"{start + length:g}"
            notes.append(
                f"the rate is not at its lowest after epoch {epochs}, where a cycle is half-way; --epochs {better} "
                f"end one"
            )
    return notes
