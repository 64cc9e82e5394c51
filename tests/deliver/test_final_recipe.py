"""The recipes of published systems: their values, and trainings with drop-path and a second classifier."""

from dataclasses import replace

import pytest
import torch

import replaytree
from replaytree import cli
from replaytree.config.final_recipes import FINAL_RECIPES, with_final
from replaytree.config.retraining import RetrainOptions
from replaytree.data import load_data
from replaytree.deliver import Subject, export, load
from replaytree.deliver.description import Description
from replaytree.deliver.final_recipe import full_recipe, recipe_notes
from replaytree.deliver.full_training import FullTraining
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError
from replaytree.networks.regularised import RegularisedNetwork
from replaytree.space import (
    Auxiliary,
    Classifier,
    Concatenation,
    Convolution,
    DecisionSpace,
    Graph,
    GraphNode,
    Pooling,
    chain,
)
from replaytree.space.building import build
from replaytree.space.darts import Darts
from replaytree.space.graph import IMAGE
from replaytree.space.layers import AuxiliaryClassifier
from replaytree.training import Recipe

CPU = torch.device("cpu")
NODES = (
    GraphNode("a1", Convolution(4, 3), (IMAGE,), 1, 1.0), GraphNode("a2", Pooling("max", 3, 1), (IMAGE,), 1, 0.5),
    GraphNode("a3", Concatenation(), (0, 1), 1), GraphNode("a4", Convolution(8, 3), (2,), 2, 1.0),
)  # fmt: skip
CELL = Graph((1, 8, 8), NODES, (3,), Classifier(10), None, Auxiliary(2, AuxiliaryClassifier(10)))
PLAIN = chain([Convolution(4, 3)], input_shape=(1, 8, 8), head=Classifier(10))
BOTH = Recipe(batch_size=64, schedule="cosine", drop_path=0.5, auxiliary_weight=0.4, grad_clip=5.0, average_share=0.1)


@pytest.fixture
def begun(digits):
    few = replace(digits, train_images=digits.train_images[:200], train_labels=digits.train_labels[:200])

    def begun(recipe=BOTH, graph=CELL, epochs=3):
        described = Description(
            graph=graph, labels="cell", classes=digits.classes, mean=digits.mean, std=digits.std, epochs=epochs,
            training=recipe.values(),
        )  # fmt: skip
        return FullTraining(described, few, recipe, device=CPU)

    return begun


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(begun, tmp_path):
    whole = begun().run().network.state_dict()

    def interrupt(done):
        if done.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun().run(checkpoint=tmp_path / "c.checkpoint", on_epoch=interrupt)
    torch.manual_seed(99)
    resumed = begun().run(checkpoint=tmp_path / "c.checkpoint").network.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    # The finished model has nothing of the second classifier.
    assert list(whole) == list(build(CELL).state_dict())


def test_no_file_has_the_second_classifier(begun, digits, tmp_path):
    training = begun(epochs=1)
    described = training._description
    weights = tmp_path / "cell.safetensors"
    write_weights(weights, training.run(), described)
    model, found = read_weights(weights)
    assert found.graph == CELL
    assert found.params == sum(each.numel() for each in model.parameters()) == replace(CELL, auxiliary=None).params
    export(weights, tmp_path / "cell.py", form="python", data=digits)
    assert "auxiliary" not in (tmp_path / "cell.py").read_text()
    images = digits.val_images[:20]
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path / "cell.py").logits(images), model(images), rtol=0, atol=1e-5)


def test_each_part_of_the_recipe_changes_the_weights(begun):
    changes = ({}, {"drop_path": 0.0}, {"auxiliary_weight": 0.0}, {"grad_clip": 0.1}, {"nesterov": False})
    models = [begun(replace(BOTH, **change), epochs=1).run() for change in changes]
    found = [model.network.state_dict()["a4.1.weight"] for model in models]
    for place, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:place])


def test_the_rate_of_drop_path_rises_in_a_straight_line(begun, monkeypatch):
    rates = []
    monkeypatch.setattr(RegularisedNetwork, "set_rate", lambda self, rate: rates.append(rate))
    begun(epochs=2).run()
    # Two epochs of four steps.
    assert rates == [0.5 * step / 8 for step in range(8)]


def test_the_loss_that_is_told_is_weighted_as_it_is_trained(begun):
    found = {}
    for weight in (1e-9, 1.0):
        training = begun(replace(BOTH, auxiliary_weight=weight), epochs=1)
        training.run()
        found[weight] = training._training.loss
    assert 1.5 < found[1e-9] < 2.8
    assert found[1.0] > found[1e-9] + 1.5


def test_a_network_without_such_parts_is_trained_as_without_them(begun):
    plain = begun(replace(BOTH, drop_path=0.0, auxiliary_weight=0.0), PLAIN, epochs=1).run().network.state_dict()
    both = begun(BOTH, PLAIN, epochs=1).run().network.state_dict()
    assert all(torch.equal(plain[name], both[name]) for name in plain)


def test_what_does_nothing_is_said():
    assert recipe_notes(CELL, BOTH, epochs=3) == []
    drop, second = recipe_notes(PLAIN, BOTH, epochs=3)
    assert "--drop-path does nothing" in drop
    assert "--auxiliary-weight does nothing" in second
    flips, pads = recipe_notes(PLAIN, Recipe(alternate_flip=True, padding="reflect"), epochs=3)
    assert flips == "images are not mirrored, so --alternate-flip does nothing; give --flip, too"
    assert pads == "images are not padded, so --padding reflect does nothing; give --crop-padding, too"
    mirrored = Recipe(flip=True, crop_padding=1, alternate_flip=True, padding="reflect")
    assert recipe_notes(PLAIN, mirrored, epochs=3) == []
    restarts = replace(BOTH, restart_epochs=10)
    assert [recipe_notes(CELL, restarts, epochs=n) for n in (10, 30, 310, 630)] == [[]] * 4
    assert "--epochs 30 or 70 end one" in recipe_notes(CELL, restarts, epochs=50)[0]
    assert "--epochs 10 end one" in recipe_notes(CELL, restarts, epochs=5)[0]


@pytest.mark.parametrize(
    ("precision", "device", "has", "told"),
    [
        ("bfloat16", "cpu", False, 1),
        ("bfloat16", "cpu", True, 0),
        ("bfloat16", "cuda", False, 0),
        (None, "cpu", False, 0),
    ],
)
def test_a_cpu_without_bfloat16_says_so(monkeypatch, precision, device, has, told):
    monkeypatch.setattr("replaytree.deliver.final_recipe.cpu_has_bfloat16", lambda: has)
    notes = recipe_notes(PLAIN, Recipe(precision=precision), epochs=3, device=device)
    assert notes == ["this CPU has no bfloat16, as far as torch knows, and may take longer than with float32"][:told]


def subject(digits, *, side=8):
    fingerprint = replace(digits.fingerprint, image_shape=(1, side, side))
    images = replace(digits, fingerprint=fingerprint)
    return Subject(PLAIN, ("conv",), images, None)


@pytest.mark.parametrize(
    ("name", "epochs", "values"),
    [
        ("darts-final", 600, {
            "batch_size": 96, "learning_rate": 0.025, "lowest_rate": 0.0, "restart_epochs": None, "momentum": 0.9,
            "nesterov": False, "weight_decay": 3e-4, "grad_clip": 5.0, "drop_path": 0.2, "auxiliary_weight": 0.4,
            "cutout": 16,
        }),
        ("enas-final", 630, {
            "batch_size": 144, "learning_rate": 0.05, "lowest_rate": 1e-4, "restart_epochs": 10, "restart_factor": 2.0,
            "nesterov": True, "weight_decay": 2 * 2e-4, "grad_clip": None, "drop_path": 0.4, "auxiliary_weight": 0.4,
            "cutout": 0,
        }),
        ("amoebanet-final", 600, {
            "batch_size": 128, "learning_rate": 0.024, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4,
            "drop_path": 0.3, "auxiliary_weight": 0.5, "cutout": 0,
        }),
    ],
)  # fmt: skip
def test_the_published_values(digits, name, epochs, values):
    options = RetrainOptions(**with_final(name, {}))
    for device in ("cpu", "cuda"):
        found = subject(digits, side=32)
        found = replace(found, data=replace(found.data, train_labels=torch.zeros(50_000)))
        recipe, chosen = full_recipe(found, options, preset=name, epochs=None, device=device)
        assert chosen == epochs
        assert {option: getattr(recipe, option) for option in values} == values
        assert (recipe.schedule, recipe.label_smoothing, recipe.average_share) == ("cosine", 0.0, 0.0)
        assert (recipe.padding, recipe.alternate_flip) == ("zeros", False)


def test_single_options_override_a_preset(digits):
    given = RetrainOptions(**with_final("darts-final", {"drop_path": 0.3, "cutout": 3}))
    recipe, epochs = full_recipe(subject(digits), given, preset="darts-final", epochs=2)
    assert (recipe.drop_path, recipe.cutout, epochs) == (0.3, 3, 2)
    # Half a side: 16 of 32 pixels, 4 of 8, where 16 would blank all.
    small, _ = full_recipe(subject(digits), RetrainOptions(), preset="darts-final", epochs=2)
    assert small.cutout == 4
    assert full_recipe(subject(digits), RetrainOptions(), preset=None, epochs=None)[1] == 30
    assert full_recipe(subject(digits), RetrainOptions(), preset=None, epochs=None, device="cuda")[1] == 30
    many = replace(subject(digits), data=replace(digits, train_labels=torch.zeros(10_240)))
    for epochs, expected in ((None, 100), (7, 7)):
        assert full_recipe(many, RetrainOptions(), preset=None, epochs=epochs, device="cuda")[1] == expected


def test_what_contradicts_itself():
    with pytest.raises(
        ConfigError, match=r"preset is 'darts'; it must be one of darts-final, enas-final, amoebanet-fi"
    ):
        with_final("darts", {})
    with pytest.raises(
        ConfigError, match=r"lowest_rate is 0.0001, and the schedule is one-cycle; give --schedule cosine"
    ):
        RetrainOptions(**with_final("enas-final", {"schedule": "one-cycle"}))


def test_a_rate_that_would_rise(digits):
    options = RetrainOptions(schedule="cosine", learning_rate=0.01, lowest_rate=0.1)
    with pytest.raises(ConfigError, match=r"lowest_rate is 0.1, over the peak of 0.01; give a lower one"):
        full_recipe(subject(digits), options, preset=None, epochs=None)


def test_models_and_checkpoints_of_before_stay_valid():
    assert set(Recipe().values()) == {
        "batch_size", "learning_rate", "momentum", "weight_decay", "label_smoothing", "crop_padding", "flip", "cutout",
        "average_share",
    }  # fmt: skip
    assert Recipe(drop_path=0.2).values()["drop_path"] == 0.2


def test_every_deviation_is_in_the_help():
    for recipe in FINAL_RECIPES.values():
        assert all(deviation in recipe.help for deviation in recipe.deviations)
    assert "no 1/2" in FINAL_RECIPES["enas-final"].help


def test_a_search_is_retrained_with_a_preset():
    cells = Darts(input_shape=(1, 8, 8), num_classes=10, max_layers=2, channels=4, cells=3)
    search = replaytree.Search(
        data=load_data("digits", train_limit=64), space=DecisionSpace(cells),
        storage="sqlite://", strategy="random", epochs_first=1, epochs_last=1, min_layers=2, max_layers=2,
    ).run(trainings=1)  # fmt: skip
    model = search.best_model(preset="darts-final", epochs=1, folder=None, learning_rate=0.01)
    own = model.description.training
    assert (own["epochs"], own["drop_path"], own["learning_rate"], own["cutout"]) == (1, 0.2, 0.01, 4)
    assert model.description.graph.auxiliary is not None
    search.tree.engine.dispose()


def test_the_command_says_what_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    words = "retrain --dataset digits --train-limit 64 --epochs 1 --preset enas-final --width 0.25 --path conv32k3"
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    _, err = capsys.readouterr()
    assert ended.value.code in (0, None)
    assert [line.split(";")[0].split(",")[0] for line in err.splitlines() if line.startswith("note: ")] == [
        "note: this network has no parts that drop-path may drop",
        "note: this network has no place for a second classifier",
        "note: the rate is not at its lowest after epoch 1",
    ]
