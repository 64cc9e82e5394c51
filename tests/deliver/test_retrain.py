from dataclasses import replace

import pytest
import torch

from replaytree.data import load_data
from replaytree.deliver.load import load
from replaytree.deliver.recipe import FullRecipe
from replaytree.deliver.retrain import mean_and_deviation, retrain
from replaytree.errors import ModelError

CPU = torch.device("cpu")


@pytest.fixture
def train(subject, tmp_path):
    def train(seeds=(0,), recipe=None, subject=subject, **options):
        recipe = recipe or FullRecipe.of(subject.data, epochs=6, batch_size=8)
        return list(retrain(subject, recipe=recipe, seeds=seeds, folder=tmp_path / "models", device=CPU, **options))

    return train


def test_test_accuracy_where_there_is_a_test_split(train, subject):
    counts = []
    first, _ = train(seeds=(0, 1), on_epoch=lambda done: counts.append(done.seed))
    assert counts == [0] * 6 + [1] * 6
    assert first.validation_accuracy is None
    assert 0.5 < first.test_accuracy <= 1.0
    model = load(first.weights)
    assert model.description == first.description
    assert model.description.test_time_flip
    assert first.weights.name == f"{subject.stem}-6-epochs-seed0.safetensors"
    assert sorted(f.suffix for f in first.weights.parent.iterdir()) == [".safetensors"] * 2


def test_without_a_test_split_validation_is_held_out(train, subject, pictures, tmp_path):
    (pictures / "test").rename(tmp_path / "elsewhere")
    (result,) = train()
    assert result.test_accuracy is None
    assert 0.0 <= result.validation_accuracy <= 1.0
    (memory,) = train(subject=replace(subject, data_options=None), seeds=(7,))
    assert memory.test_accuracy is None


def test_a_limit_counts_train_and_validation_together(train, subject, pictures):
    options = {"dataset": str(pictures), "image_size": 8, "train_limit": 12}
    limited = replace(subject, data=load_data(**options), data_options=options)
    with pytest.raises(KeyboardInterrupt):
        train(subject=limited, on_epoch=interrupt)
    (file,) = pictures.parent.glob("models/*.checkpoint")
    assert torch.load(file, weights_only=True)["identity"]["images"] == 12


def interrupt(_):
    raise KeyboardInterrupt


def test_the_test_split_is_read_after_the_last_step_only(train, pictures):
    for file in (pictures / "test").rglob("*.png"):
        file.write_bytes(b"trap")
    epochs = []
    with pytest.raises(ValueError, match="test images cannot be read"):
        train(on_epoch=lambda done: epochs.append(done.epoch))
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_a_finished_training_is_not_repeated(train):
    (first,) = train()
    epochs = []
    (again,) = train(on_epoch=epochs.append)
    assert epochs == []
    assert (again.seconds, again.description) == (0.0, first.description)
    (forced,) = train(on_epoch=epochs.append, force=True)
    assert len(epochs) == 6
    assert forced.test_accuracy == first.test_accuracy


def test_weights_of_another_training_are_not_replaced(train, subject):
    train()
    recipe = FullRecipe.of(subject.data, epochs=6, batch_size=8, cutout=0)
    with pytest.raises(ModelError, match=r"of another training: its training cutout is 2, here 0; give --force"):
        train(recipe=recipe)
    assert len(train(recipe=recipe, force=True)) == 1


def test_mean_and_deviation_by_hand():
    assert mean_and_deviation([0.5]) == (0.5, None)
    assert mean_and_deviation([0.25, 0.75]) == (0.5, pytest.approx(0.125**0.5))
