"""Networks that are delivered in another form than they are searched in: ENAS's, which sum while searching."""

import pytest
import torch

import replaytree
from replaytree.data import load_data
from replaytree.deliver import Subject, export, load
from replaytree.deliver.export import SUFFIX
from replaytree.deliver.retrain import Retraining
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.space import DecisionSpace
from replaytree.space.enas_macro import EnasMacro
from replaytree.space.graph_space import final_space
from replaytree.training import Recipe

CPU = torch.device("cpu")
# Every operation, with maps joined across a reduction.
PATH = "conv3 sep3+0 conv5+0+1 sep5 avg3+1+3 max3+0+2+4"


@pytest.fixture(scope="module")
def space(digits):
    return DecisionSpace(EnasMacro(input_shape=digits.image_shape, num_classes=10, max_layers=6, channels=4))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, space, digits):
    graph = final_space(space).network(space.parse(PATH))
    subject = Subject(graph, tuple(PATH.split()), digits, {"dataset": "digits"})
    recipe = Recipe(batch_size=512, crop_padding=0, average_share=0.0)
    model, measured = Retraining(subject, recipe, epochs=1).run(0, device=CPU)
    file = tmp_path_factory.mktemp("weights") / "enas.safetensors"
    write_weights(file, model, measured.description)
    return file


@pytest.mark.parametrize("form", SUFFIX)
def test_every_export_equals_the_model(weights, digits, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"model{SUFFIX[form]}"
    done = export(weights, out, form=form, data=digits)
    assert done.largest_difference < 1e-5
    network, _ = read_weights(weights)
    with torch.no_grad():
        torch.testing.assert_close(
            load(out).logits(digits.val_images[:50]), network(digits.val_images[:50]), rtol=0, atol=1e-5
        )


def test_a_search_delivers_the_final_network(space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = replaytree.Search(
        data=load_data("digits", train_limit=200),
        space=space,
        storage="sqlite://",
        epochs_first=1,
        epochs_last=1,
        min_layers=3,
    ).run(trainings=1)
    best = search.tree.best(1)[0]
    graph = search.best_model(epochs=1, folder=None).description.graph
    assert graph == final_space(space).network(best.path)
    assert graph != space.network(best.path)
    assert best.params == space.cost(best.path)[0]
