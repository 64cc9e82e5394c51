import os
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from replaytree.config.retraining import RetrainOptions
from replaytree.data import load_data, stratified_subset
from replaytree.deliver import parts
from replaytree.deliver.deployed import Deployed
from replaytree.deliver.load import load
from replaytree.deliver.parts import digest
from replaytree.deliver.retrain import Retraining, TrainingTooLarge, retrain, store, training_text
from replaytree.deliver.test_split import read_test
from replaytree.errors import ConfigError, ModelError, SpaceError
from replaytree.space import CustomLayer
from replaytree.training import Recipe
from replaytree.training.step import Step
from replaytree.tree import list_models, open_engine

from .conftest import network

CPU = torch.device("cpu")


@pytest.fixture
def train(subject, tmp_path):
    def train(seeds=(0,), recipe=None, subject=subject, epochs=6, **options):
        recipe = recipe or Recipe.full(subject.data, RetrainOptions(batch_size=8))
        folder = tmp_path / "models"
        return list(retrain(subject, recipe=recipe, epochs=epochs, seeds=seeds, folder=folder, device=CPU, **options))

    return train


def test_test_accuracy_where_there_is_a_test_split(train, subject):
    counts = []
    first, _ = train(seeds=(0, 1), on_epoch=lambda done: counts.append(done.seed))
    assert counts == [0] * 6 + [1] * 6
    assert first.validation_accuracy is None
    assert 0.5 < first.test_accuracy <= 1.0
    model = load(first.weights)
    assert model.description == first.description
    assert not model.description.mirror
    assert first.weights.name == f"{subject.stem}-6-epochs-seed0.safetensors"
    assert sorted(f.suffix for f in first.weights.parent.iterdir()) == [".safetensors"] * 2


def test_what_is_trained_on_is_said(subject, pictures):
    data = subject.data
    train, validation = len(data.train_labels), len(data.val_labels)
    assert training_text(subject).startswith(f"training on {train + validation} images, train and validation together;")
    limited = replace(subject, data_options=subject.data_options | {"train_limit": train + validation - 1})
    assert training_text(limited).startswith(f"training on {train + validation - 1} images, ")
    alone = training_text(replace(subject, data_options=None))
    assert alone.startswith(
        f"training on {train} images; there is no test split, so the {validation} validation images"
    )


def test_without_a_test_split_validation_is_held_out(train, subject, pictures, tmp_path):
    (pictures / "test").rename(tmp_path / "elsewhere")
    (result,) = train()
    assert result.test_accuracy is None
    assert 0.0 <= result.validation_accuracy <= 1.0
    assert result.image_count == len(subject.data.val_labels)
    (memory,) = train(subject=replace(subject, data_options=None), seeds=(7,))
    assert memory.test_accuracy is None


def test_a_limit_counts_train_and_validation_together(train, subject, pictures):
    options = {"dataset": str(pictures), "image_size": 8, "train_limit": 12}
    limited = replace(subject, data=load_data(**options), data_options=options)
    (result,) = train(subject=limited)
    images, labels = limited.data.train_images, limited.data.train_labels
    both = torch.cat([images, limited.data.val_images]), torch.cat([labels, limited.data.val_labels])
    index = stratified_subset(both[1], 12, seed=0)
    assert len(index) == 12
    assert result.description.trained_on == digest(both[0][index], both[1][index])


def interrupt(_):
    raise KeyboardInterrupt


def test_a_bad_test_image_is_found_before_the_first_epoch(train, pictures):
    next((pictures / "test").rglob("*.png")).write_bytes(b"trap")
    epochs = []
    with pytest.raises(ValueError, match=r"1 of 10 images in .*test cannot be read"):
        train(on_epoch=lambda done: epochs.append(done.epoch))
    assert epochs == []


def test_weights_do_not_depend_on_the_test_images(train, subject, pictures, tmp_path):
    (first,) = train()
    for file in (pictures / "test").rglob("*.png"):
        Image.new("RGB", (8, 8)).save(file)
    (second,) = train(force=True)
    before, after = (load(first.weights).network.state_dict(), load(second.weights).network.state_dict())
    assert all(torch.equal(before[name], after[name]) for name in before)


def swap_classes(folder):
    """Correct a folder in which all labels were wrong."""
    (folder / "red").rename(folder / "other")
    (folder / "blue").rename(folder / "red")
    (folder / "other").rename(folder / "blue")


def test_a_test_split_that_was_corrected_is_measured_anew_and_nothing_is_retrained(train, pictures):
    (first,) = train()
    swap_classes(pictures / "test")
    epochs = []
    (second,) = train(on_epoch=epochs.append)
    assert epochs == []
    assert second.measured_anew
    # Two classes: what was right is wrong.
    assert second.test_accuracy == pytest.approx(1.0 - first.test_accuracy)
    assert load(second.weights).description == second.description
    (third,) = train()
    assert (third.measured_anew, third.description) == (False, second.description)


def test_train_images_that_were_corrected_are_trained_on_anew_when_asked(train, subject, pictures):
    train()
    swap_classes(pictures / "train")
    changed = replace(subject, data=load_data(str(pictures), image_size=8))
    assert changed.data.fingerprint != subject.data.fingerprint
    with pytest.raises(ModelError, match=r"trained on other images, or they were changed since; give --force"):
        train(subject=changed)
    assert len(train(subject=changed, force=True)) == 1


def test_a_test_split_that_was_added_makes_another_training(train, pictures, tmp_path):
    (pictures / "test").rename(tmp_path / "elsewhere")
    train()
    (tmp_path / "elsewhere").rename(pictures / "test")
    with pytest.raises(ModelError, match="trained on other images"):
        train()


def test_a_checkpoint_of_other_images_is_not_continued(train, subject, pictures):
    with pytest.raises(KeyboardInterrupt):
        train(on_epoch=interrupt)
    swap_classes(pictures / "train")
    changed = replace(subject, data=load_data(str(pictures), image_size=8))
    with pytest.raises(ModelError, match=r"checkpoint .* is of another training: it was trained on other images"):
        train(subject=changed)


def test_data_that_moved_are_the_same(train, subject, pictures):
    (first,) = train()
    moved = pictures.rename(pictures.with_name("moved"))
    options = {"dataset": str(moved), "image_size": 8}
    there = replace(subject, data=replace(load_data(**options), name="pictures"), data_options=options)
    (again,) = train(subject=there)
    assert again.test_accuracy == first.test_accuracy
    assert load(again.weights).description.data == options


def test_the_mirror_image_counts_where_asked_for(train, subject):
    (plain,) = train(epochs=2)
    epochs = []
    (mirrored,) = train(epochs=2, mirror=True, on_epoch=epochs.append)
    assert epochs == []
    test = read_test(subject.data_options["dataset"], subject.data)
    for result, mirror in ((plain, False), (mirrored, True)):
        assert result.description.mirror == mirror
        network = load(mirrored.weights).network
        network.mirror = mirror
        right = (network(test.images_NCHW).argmax(dim=1) == test.labels_N).float().mean()
        assert result.test_accuracy == pytest.approx(float(right))
    assert load(mirrored.weights).description == mirrored.description


def test_a_layer_of_ones_own_is_refused_before_the_first_epoch(train, subject):
    own = network(subject.data, CustomLayer("mine", lambda shape: nn.Conv2d(shape[0], 4, 1)))
    epochs = []
    with pytest.raises(SpaceError, match="'mine' is one of your own"):
        train(subject=replace(subject, **own), on_epoch=epochs.append)
    assert epochs == []
    model, measured = Retraining(replace(subject, **own), Recipe(), epochs=1).run(0, device=CPU)
    assert measured.description.test_accuracy is not None
    assert model(subject.data.val_images).shape == (len(subject.data.val_labels), 2)


@pytest.mark.parametrize("epochs", [0, 2.5])
def test_epochs_that_cannot_be_trained(train, epochs):
    with pytest.raises(ConfigError, match=rf"epochs is {epochs}; it must be a whole number of at least 1 \(--epochs\)"):
        train(epochs=epochs)


def test_two_at_once(train, subject, tmp_path):
    messages = []

    def meanwhile(done):
        if not messages:
            with pytest.raises(ModelError) as caught:
                train()
            messages.append(str(caught.value))

    (first,) = train(on_epoch=meanwhile)
    assert re.search(rf"another process \({os.getpid()}\) is training .*seed0\.safetensors; wait", messages[0])
    assert train()[0].description == first.description
    assert [file.suffix for file in (tmp_path / "models").iterdir()] == [".safetensors"]


def test_memory_that_does_not_suffice_is_said_in_one_line(train, monkeypatch):
    def no_memory(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Step, "__call__", no_memory)
    with pytest.raises(TrainingTooLarge, match=r"'conv32k3 max2s2' does not fit .*batches of 8 .*lower --batch-size"):
        train()


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
    recipe = Recipe.full(subject.data, RetrainOptions(batch_size=8, cutout=0))
    with pytest.raises(ModelError, match=r"of another training: its cutout is 2, here 0; give --force"):
        train(recipe=recipe)
    assert len(train(recipe=recipe, force=True)) == 1


def test_weights_of_another_training_are_told_from_one_with_all_as_it_always_was(train, subject):
    usual = Recipe.full(subject.data, RetrainOptions(batch_size=8))
    train(recipe=replace(usual, schedule="cosine", padding="reflect"))
    with pytest.raises(ModelError, match="of another training: its padding is 'reflect', here 'zeros'"):
        train(recipe=replace(usual, schedule="cosine"))
    with pytest.raises(ModelError, match="of another training: its schedule is 'cosine', here 'one-cycle'"):
        train(recipe=replace(usual, padding="reflect"))


def test_a_finished_model_that_cannot_be_read_is_trained_again_when_asked(train):
    (first,) = train()
    content = first.weights.read_bytes()
    for bad, message in (
        (content[:-1], "cannot be read as safetensors"),
        (content.replace(b'\\"format\\": 3', b'\\"format\\": 1'), "older replaytree"),
    ):
        first.weights.write_bytes(bad)
        with pytest.raises(ModelError, match=f"{message}.*, or give --force to train it again$"):
            train()
    (again,) = train(force=True)
    assert again.description == first.description


def test_the_number_of_test_images_is_stored(train, subject):
    (result,) = train()
    engine = open_engine("sqlite://")
    store(result, subject, engine)
    (model,) = list_models(engine)
    # pictures/test holds five pictures of each of two classes.
    assert (model.test_image_count, model.test_accuracy) == (10, result.test_accuracy)


def test_without_a_test_split_no_number_is_stored(train, subject, pictures, tmp_path):
    (pictures / "test").rename(tmp_path / "elsewhere")
    (result,) = train()
    engine = open_engine("sqlite://")
    store(result, subject, engine)
    (model,) = list_models(engine)
    assert (model.test_image_count, model.test_accuracy) == (None, None)


def test_accuracies_are_measured_on_the_device_of_the_training(subject, monkeypatch):
    events = []
    described = Retraining(subject, Recipe.full(subject.data, RetrainOptions()), epochs=1).description(0)
    model = Deployed(described)
    monkeypatch.setattr(Deployed, "to", lambda self, device: events.append(f"to {device}") or self)
    monkeypatch.setattr(Deployed, "cpu", lambda self: events.append("to cpu") or self)
    # Ten images, half of each class: all are taken for class 0, or with the mirror image all for class 1.
    logits = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    monkeypatch.setattr(parts, "both_logits", lambda *_, **__: events.append("measured") or (logits, logits.flip(1)))
    found = parts.parts_of(subject).measured(model, described, device=torch.device("cuda:1"), threads=None)
    assert events == ["to cuda:1", "measured", "to cpu"]
    assert found.description.plain.test == found.description.mirrored.test == 0.5
    assert (found.class_results.part, found.class_results.counts) == ("test", ((5, 0), (5, 0)))
    described = replace(described, mirror=True)
    found = parts.parts_of(subject).measured(model, described, device=torch.device("cuda:1"), threads=None)
    assert found.class_results.counts == ((0, 5), (0, 5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_retraining_on_a_gpu_has_the_accuracy_that_its_file_has_on_a_cpu(subject):
    retraining = Retraining(subject, Recipe.full(subject.data, RetrainOptions()), epochs=4)
    model, there = retraining.run(0, device=torch.device("cuda:0"))
    here = parts.parts_of(subject).measured(model, there.description, device=CPU, threads=None)
    assert here.description.plain.test == pytest.approx(there.description.plain.test, abs=0.01)
