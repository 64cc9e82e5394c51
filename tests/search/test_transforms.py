"""Searches with transforms of one's own: resumed, refused without them, and retrained."""

import pytest
import torch
from torchvision.transforms import v2

from replaytree import Search, cli
from replaytree.errors import ConfigError, DataError
from replaytree.records import PathEvaluation
from replaytree.tree import tree_digest

QUICK = {"train_limit": 100, "max_layers": 2, "epochs_first": 1, "epochs_last": 1, "width": 0.25}


def rotated():
    return v2.RandomRotation(20)


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/tree.db"


def test_a_resumed_search_is_the_uninterrupted_one(storage):
    whole = Search(name="whole", dataset="digits", storage=storage, transforms=rotated(), **QUICK).run(trainings=2)
    Search(name="parts", dataset="digits", storage=storage, transforms=rotated(), **QUICK).run(trainings=1)
    parts = Search.resume("parts", storage=storage, transforms=rotated()).run(trainings=1)
    plain = Search(name="plain", dataset="digits", storage=storage, **QUICK).run(trainings=2)
    digests = [tree_digest(search.tree.engine, search.name) for search in (whole, parts, plain)]
    assert digests[0] == digests[1] != digests[2]


def test_they_are_given_again(storage, capsys):
    Search(name="own", dataset="digits", storage=storage, transforms=rotated(), **QUICK).run(trainings=1)
    said = (
        r"search 'own' trains with transforms of your own, RandomRotation\(.*give them again: replaytree.Search.resume"
    )
    with pytest.raises(DataError, match=said):
        Search.resume("own", storage=storage)
    with pytest.raises(DataError, match=r"the transforms of search 'own' were RandomRotation.*; give the same"):
        Search.resume("own", storage=storage, transforms=v2.RandomRotation(45))
    for command in (["resume", "own", "--trainings", "1"], ["retrain", "own", "--epochs", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, "--storage", storage])
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert "trains with transforms of your own" in " ".join(err.split())
    Search(name="plain", dataset="digits", storage=storage, **QUICK).run(trainings=1)
    with pytest.raises(DataError, match="search 'plain' were none, and those given are RandomRotation"):
        Search.resume("plain", storage=storage, transforms=rotated())


def test_the_best_model_is_trained_with_them_too(storage, tmp_path):
    """On all training images; the file of a model trained with others is not taken for it."""
    seen = []

    def counted(batch):
        seen.append(len(batch))
        return batch

    search = Search(name="own", dataset="digits", storage=storage, transforms=counted, **QUICK).run(trainings=1)
    seen.clear()
    model = search.best_model(epochs=1, folder=tmp_path / "models")
    # A trial, and then an epoch of all 1,617 images that are not held out.
    assert sum(seen) >= 1617
    assert model.description.training["transforms"].startswith("<function test_the_best_model_is_trained")
    seen.clear()
    search.best_model(epochs=1, folder=tmp_path / "models")
    assert sum(seen) <= 8


class OwnEvaluator:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation((0.5,) * len(path), 1.0, 0.1) for path in paths]


def test_without_images_there_is_nothing_to_transform(storage):
    with pytest.raises(ConfigError, match="transforms are for images, and this search has no data; leave them out"):
        Search(evaluator=OwnEvaluator(), space="xu24", transforms=torch.clone, storage=storage)


def test_a_lambda_is_not_sent_to_processes(storage):
    with pytest.raises(ConfigError, match=r"data.*transforms.*lambda.*define classes and functions in a module"):
        Search(name="own", dataset="digits", storage=storage, transforms=lambda batch: batch, workers=2, **QUICK).run(
            trainings=1
        )
