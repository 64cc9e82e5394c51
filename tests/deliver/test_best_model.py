"""search.best_model() where a model can be kept in memory only."""

import pytest
from torch import nn

import replaytree
from replaytree.deliver.full_training import Training
from replaytree.errors import ConfigError, SpaceError


def test_an_option_of_the_recipe_that_does_not_exist_or_cannot_be_used(digits):
    search = replaytree.Search(data=digits, storage="sqlite://", epochs_first=1, epochs_last=1, max_layers=2)
    with pytest.raises(ConfigError, match=r"unknown option 'batch'; known options: .*average_share, batch_size, .*"):
        search.best_model(batch=8)
    with pytest.raises(ConfigError, match=r"average_share is 1.0; .* less than 1 \(--average-share\)"):
        search.best_model(average_share=1.0)


def test_a_layer_of_ones_own_is_told_before_training_and_is_kept_in_memory(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = replaytree.CustomLayer("own.layer", lambda shape: nn.Conv2d(shape[0], 4, 3, padding=1))
    space = replaytree.LayerSpace([own], input_shape=digits.image_shape, num_classes=10, max_layers=2)
    search = replaytree.Search(
        data=digits, space=space, name="own", storage="sqlite://", epochs_first=1, epochs_last=1, max_layers=2
    ).run(trainings=1)
    trained = []
    run = Training.run
    monkeypatch.setattr(Training, "run", lambda self, **options: trained.append(1) or run(self, **options))
    with pytest.raises(SpaceError, match=r"'own\.layer' is one of your own.*best_model\(folder=None\)"):
        search.best_model(epochs=2)
    assert trained == []
    model = search.best_model(epochs=2, folder=None, mirror=True)
    assert trained == [1, 1]
    assert model.description.mirror
    names = [digits.classes[label] for label in digits.val_labels.tolist()]
    right = [a == b for a, b in zip(model.predict(digits.val_images), names, strict=True)]
    assert model.description.validation_accuracy == pytest.approx(sum(right) / len(right))
    assert list(tmp_path.glob("models*")) == []
