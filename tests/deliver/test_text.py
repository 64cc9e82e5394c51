"""Models of text: retrained, measured, stored, exported, predicted with."""

import json
import math
import random
import runpy
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from replaytree.config.retraining import RetrainOptions
from replaytree.config.text import TextOptions
from replaytree.data import TextData, load_text
from replaytree.deliver import NextWords, load, path_subject
from replaytree.deliver.description import Description
from replaytree.deliver.export import SUFFIX, export
from replaytree.deliver.final_recipe import full_recipe
from replaytree.deliver.parts import digest
from replaytree.deliver.retrain import Retraining, data_again, retrain, training_text
from replaytree.deliver.text_model import read_text_file
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError, DataError, ModelError, SpaceError
from replaytree.metric import PERPLEXITY

CPU = torch.device("cpu")
WORDS = ["the", "cat", "dog", "sat", "ran", "on", "a", "mat"]
# A cell of each kind: highways; a mean of many ends; a tree whose state has a c; biases and a projection.
CELLS = (
    ("enas-rnn", "tanh relu@1 sigmoid@1", {}, tuple(SUFFIX)),
    ("darts-rnn", "DARTS_V2", {}, ("python", "safetensors")),
    ("nas-rnn", "NASCell", {"embedding": 5}, ("onnx", "python")),
    ("plain-rnn", "lstm", {}, ("python", "safetensors")),
)


def lines(count, seed):
    draw = random.Random(seed)
    return "".join(" ".join(draw.choices(WORDS, k=draw.randint(2, 6))) + "\n" for _ in range(count))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("text")
    for part, count in (("train", 60), ("valid", 12), ("test", 10)):
        text = lines(count, part) + ("zebra sat\n" if part == "test" else "")
        (found / f"{part}.txt").write_text(text, encoding="utf-8")
    return found


def subject_of(folder, path="tanh relu@1 sigmoid@1", *, space="enas-rnn", **options):
    given = {"dataset": str(folder), "seed": 0, "val_fraction": 0.1, "image_size": None, "train_limit": None}
    return path_subject(path, options=given, space=space, space_options={"hidden": 6, **options})


def recipe_of(subject, **text):
    return full_recipe(subject, RetrainOptions(), preset=None, epochs=2, text=TextOptions(bptt=5, **text))[0]


@pytest.fixture(scope="session")
def subject(folder):
    return subject_of(folder)


@pytest.fixture(scope="session")
def retrained(subject, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    (done,) = retrain(subject, recipe=recipe_of(subject), epochs=2, seeds=[0], folder=out, device=CPU)
    return done


def loss_of(network, numbers):
    """Nats a word, one word after the other."""
    state, total = network.initial_state(1), 0.0
    with torch.no_grad():
        for word, following in pairwise(numbers):
            logits, state = network(torch.tensor([[word]]), state)
            total -= float(logits[0, 0].log_softmax(0)[following])
    return total / (len(numbers) - 1)


def test_the_test_perplexity_is_that_of_the_test_words(retrained, folder):
    model = load(retrained.weights)
    data = load_text(folder)
    test, unknown = data.encoded((folder / "test.txt").read_text())
    assert unknown == 1
    description = retrained.description
    assert description.metric is PERPLEXITY
    assert -math.log(retrained.test_accuracy) == pytest.approx(loss_of(model.network, test.tolist()), abs=1e-5)
    assert retrained.image_count == len(test) - 1
    # The validation words are held out of the training, so that they are measured, too.
    held_out = loss_of(model.network, data.val_N.tolist())
    assert -math.log(retrained.validation_accuracy) == pytest.approx(held_out, abs=1e-5)
    # And `predict` tells the same of the file.
    found = model.perplexity((folder / "test.txt").read_text())
    assert (found.perplexity, found.count, found.unknown) == (
        pytest.approx(1 / retrained.test_accuracy),
        len(test) - 1,
        1,
    )


def test_it_trains_on_the_train_words_alone(subject, folder):
    training = Retraining(subject, recipe_of(subject), epochs=1)
    data = load_text(folder)
    description = training.description(0)
    assert description.trained_on == digest(data.train_N, data.val_N)
    assert description.classes == data.words
    assert training._parts.data.train_count == data.train_count
    assert "training on 292 words" in training_text(subject).replace(str(data.train_count), "292")
    assert "test words, which are looked at once" in training_text(subject)


def test_a_text_without_a_test_part_is_measured_on_its_validation_words(folder, tmp_path):
    for part in ("train", "valid"):
        (tmp_path / f"{part}.txt").write_text((folder / f"{part}.txt").read_text())
    subject = subject_of(tmp_path, "tanh")
    assert "there is no test split, so the perplexity is theirs" in training_text(subject)
    _, measured = Retraining(subject, recipe_of(subject), epochs=1).run(0, device=CPU)
    assert measured.description.test_accuracy is None
    assert 0.0 < measured.description.validation_accuracy < 1.0
    assert measured.class_results is None


def test_an_empty_test_part_is_refused(folder, tmp_path):
    for part in ("train", "valid"):
        (tmp_path / f"{part}.txt").write_text((folder / f"{part}.txt").read_text())
    (tmp_path / "test.txt").write_text("")
    subject = subject_of(tmp_path, "tanh")
    with pytest.raises(DataError, match=r"the test text of .* is empty"):
        Retraining(subject, recipe_of(subject), epochs=1)


def test_interrupted_and_uninterrupted_trainings_are_equal(subject, tmp_path):
    recipe = recipe_of(subject, nonmono=1, hidden_dropout=0.2, output_dropout=0.2)
    training = Retraining(subject, recipe, epochs=4)
    whole, _ = training.run(3, device=CPU)
    kept = tmp_path / "text.checkpoint"

    def stop(done):
        if done.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(3, device=CPU, checkpoint=kept, on_epoch=stop)
    resumed, _ = training.run(3, device=CPU, checkpoint=kept)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name])
    other = Retraining(subject, recipe_of(subject), epochs=4)
    with pytest.raises(ModelError, match="is of another training: its"):
        other.run(3, device=CPU, checkpoint=kept)


def test_a_finished_training_is_not_repeated(subject, retrained, folder):
    recipe = recipe_of(subject)
    (again,) = retrain(subject, recipe=recipe, epochs=2, seeds=[0], folder=retrained.weights.parent, device=CPU)
    assert (again.seconds, again.test_accuracy) == (0.0, retrained.test_accuracy)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell[0])
def test_every_form_predicts_as_the_model_does(folder, tmp_path, cell):
    space, path, options, forms = cell
    subject = subject_of(folder, path, space=space, **options)
    network, measured = Retraining(subject, recipe_of(subject), epochs=1).run(0, device=CPU)
    description = measured.description
    write_weights(tmp_path / "model.safetensors", network, description)
    data = load_text(folder)
    text = (folder / "valid.txt").read_text()
    expected = load(tmp_path / "model.safetensors").perplexity(text).perplexity
    for form in forms:
        done = export(tmp_path / "model.safetensors", tmp_path / f"out{SUFFIX[form]}", form=form, data=data)
        assert done.images == data.val_count - 1
        assert done.export_accuracy == pytest.approx(done.model_accuracy, rel=1e-5)
        assert (
            f"perplexity {1 / done.export_accuracy:.2f}, PyTorch's {1 / done.model_accuracy:.2f}; 0 pred" in done.text
        )
        assert "multiply-adds a word" in done.cost
        model = load(done.files[0])
        assert model.perplexity(text).perplexity == pytest.approx(expected, rel=1e-5)
        # The place of the data is of this machine.
        assert model.description.data is None
    own = runpy.run_path(str(tmp_path / "out.py"))
    words, net = own["WORDS"], own["load"]()
    assert loss_of(net, data.val_N.tolist()) == pytest.approx(math.log(expected), abs=1e-5)
    assert words == data.words


def test_an_export_that_differs_is_not_written(retrained, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["replaytree.deliver.export"], "text_source", changed_source)
    with pytest.raises(ModelError, match="does not equal its model: its outputs differ"):
        export(retrained.weights, tmp_path / "m.py", form="python", data=load_text(folder))
    assert list(tmp_path.iterdir()) == []


def changed_source(description, *, weights):
    from replaytree.deliver.text_source import text_source

    return text_source(description, weights=weights).replace("torch.sigmoid(gate)", "torch.tanh(gate)")


def test_next_words_by_hand(retrained):
    model = load(retrained.weights)
    # A text begins a line, so <eos> stands before it.
    numbers = [model.words.index(word) for word in ("<eos>", "the", "cat")]
    with torch.no_grad():
        logits, _ = model.network(torch.tensor([numbers]).T, model.network.initial_state(1))
    chances = logits[-1, 0].softmax(0)
    best = chances.argsort(descending=True)[:3]
    found = model.next_words("the cat", top_k=3)
    assert found == NextWords(
        tuple(model.words[index] for index in best), tuple(pytest.approx(float(chances[index])) for index in best), 0
    )
    assert model.next_words("the zebra").unknown == 1
    assert sum(model.next_words("a", top_k=100).probabilities) == pytest.approx(1.0)


def test_texts_that_say_nothing_are_refused(retrained):
    model = load(retrained.weights)
    for text in ("", " \n "):
        with pytest.raises(DataError, match="the text is empty"):
            model.perplexity(text)
        with pytest.raises(DataError, match="the text is empty"):
            model.next_words(text)
    with pytest.raises(ConfigError, match="top_k is 0"):
        model.next_words("the", top_k=0)


def test_a_vocabulary_without_unknown_words_says_so(folder):
    words = ("<eos>", "the", "cat")
    data = TextData.of_words("own", words, torch.tensor([1, 2, 0] * 40), torch.tensor([1, 2, 0]))
    subject = replace(subject_of(folder, "tanh"), data=data, data_options=None)
    subject = replace(subject, graph=subject.graph.with_classes(3))
    network, measured = Retraining(subject, recipe_of(subject), epochs=1).run(0, device=CPU)
    description = measured.description
    from replaytree.deliver.made import model_of

    model = model_of(network, description)
    assert model.perplexity("the cat the").count == 3
    with pytest.raises(DataError, match=r"2 words of the text, 'dog' the first, are not in .* which has no <unk>"):
        model.next_words("the dog ran")


def test_a_description_of_text_can_be_read_back_and_changed_ones_cannot(retrained):
    description = retrained.description
    text = description.to_json()
    assert Description.from_json(text, origin="x") == description
    for change in (
        {"mean": [0.5]},
        {"mirror": True},
        {"classes": [*description.classes[:-1]]},
        {"classes": [*description.classes[:-1], description.classes[0]]},
    ):
        with pytest.raises(ModelError, match="does not describe a replaytree model"):
            Description.from_json(json.dumps(json.loads(text) | change), origin="x")


def test_other_texts_are_not_those_that_the_model_was_trained_on(retrained, folder, tmp_path):
    assert data_again(retrained.description).words == retrained.description.classes
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text(lines(60, f"other {part}"))
    other = replace(retrained.description, data={**retrained.description.data, "dataset": str(tmp_path)})
    with pytest.raises(DataError, match=r"the words of .* are not those that the model was trained on"):
        data_again(other)


def test_options_of_images_are_refused(subject, digits_subject):
    for options, flag in ((RetrainOptions(flip=True), "--flip"), (RetrainOptions(momentum=0.5), "--momentum")):
        with pytest.raises(ConfigError, match=f"{flag} is for images, and the data are text"):
            full_recipe(subject, options, preset=None, epochs=1)
    with pytest.raises(ConfigError, match="--bptt is for text, and the data are images"):
        full_recipe(digits_subject, RetrainOptions(), preset=None, epochs=1, text=TextOptions(bptt=5))
    with pytest.raises(ConfigError, match="--mirror is for images"):
        Retraining(subject, recipe_of(subject), epochs=1, mirror=True)
    given = full_recipe(subject, RetrainOptions(batch_size=4, learning_rate=3.0), preset=None, epochs=None)
    assert (given[0].batch_size, given[0].learning_rate, given[1]) == (4, 3.0, 30)


@pytest.fixture
def digits_subject():
    return path_subject("conv32k3", options={"dataset": "digits", "seed": 0, "val_fraction": 0.1})


def test_a_space_of_the_other_task_is_refused(folder):
    with pytest.raises(SpaceError, match=r"space 'xu24' is for images, .* is text; spaces for text are .*enas-rnn"):
        subject_of(folder, "conv32k3", space="xu24")


def test_files_that_are_no_texts_are_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    for name, why in (("a.png", "a picture by its name"), ("b.txt", "not UTF-8"), ("c.txt", "missing"), ("", "folder")):
        with pytest.raises(DataError, match=why):
            read_text_file(tmp_path / name)


def test_weights_of_text_are_read_whole(retrained, tmp_path):
    content = retrained.weights.read_bytes()
    (tmp_path / "short.safetensors").write_bytes(content[:-4])
    with pytest.raises(ModelError):
        read_weights(tmp_path / "short.safetensors")
