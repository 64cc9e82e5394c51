import pickle
import zipfile
from dataclasses import replace

import pytest
import torch

from replaytree.deliver.deployed import accuracy
from replaytree.deliver.full_training import EpochDone, FullTraining, TrainingDiverged, differing
from replaytree.errors import ModelError
from replaytree.training import Recipe

from .conftest import layers, network

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=64, crop_padding=1, flip=True, cutout=2, average_share=0.02)


@pytest.fixture
def start(description, digits):
    few = replace(digits, train_images=digits.train_images[:200], train_labels=digits.train_labels[:200])

    def start(recipe=RECIPE, seed=0, epochs=3, description=description):
        training = {"epochs": epochs, **recipe.values()}
        described = replace(description, training=training, epochs=epochs, seed=seed)
        return FullTraining(described, few, recipe, device=CPU)

    return start


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_training_equals_an_uninterrupted_one(start, tmp_path):
    whole = start().run()
    checkpoint = tmp_path / "c.checkpoint"

    def interrupt(done):
        if done.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start().run(checkpoint=checkpoint, on_epoch=interrupt)
    epochs = []
    torch.manual_seed(99)
    resumed = start().run(checkpoint=checkpoint, on_epoch=lambda done: epochs.append((done.epoch, done.run_epochs)))
    assert epochs == [(3, 1)]
    assert same(whole, resumed)


def test_what_is_left_is_estimated_without_the_first_epoch():
    # It took 40 s to compile; then 2 s an epoch.
    assert EpochDone(0, 1, 10, 0.5, 1, 40.0, 40.0).seconds_left == 360.0
    assert EpochDone(0, 4, 10, 0.5, 4, 46.0, 40.0).seconds_left == 12.0
    # Resumed after 5 epochs.
    assert EpochDone(0, 7, 10, 0.5, 2, 11.0, 8.0).seconds_left == 9.0
    assert EpochDone(0, 10, 10, 0.5, 2, 11.0, 8.0).seconds_left == 0.0


def test_the_seconds_of_the_first_epoch_are_told_with_every_other(start):
    told = []
    start(epochs=3).run(on_epoch=told.append)
    assert [done.first_seconds for done in told] == [told[0].seconds] * 3
    assert 0.0 < told[0].seconds <= told[1].seconds <= told[2].seconds


def test_seeds_differ_and_repeat(start):
    assert same(start(seed=1).run(), start(seed=1).run())
    assert not same(start(seed=1).run(), start(seed=2).run())


def test_the_mirror_image_changes_no_weight(start, description):
    assert same(start().run(), start(description=replace(description, mirror=True)).run())


def test_the_weights_are_averaged(start):
    assert not same(start(replace(RECIPE, average_share=0.5)).run(), start().run())


def test_it_learns(start, digits):
    training = start(Recipe(batch_size=32, average_share=0.02), epochs=12)
    model = training.run()
    assert accuracy(model(digits.val_images), digits.val_labels) > 0.6


def test_it_diverges_with_a_message_and_leaves_no_checkpoint_that_refuses_another_rate(start, tmp_path):
    checkpoint = tmp_path / "c.checkpoint"
    message = r"diverged: .*in epoch 1; give a lower rate, as --learning-rate 1e\+29 \(it was 1e\+30\)"
    with pytest.raises(TrainingDiverged, match=message):
        start(Recipe(batch_size=20, learning_rate=1e30), epochs=1).run(checkpoint=checkpoint)
    assert not checkpoint.exists()
    start(RECIPE, epochs=1).run(checkpoint=checkpoint)


def test_a_checkpoint_of_another_training(start, tmp_path, description, digits):
    checkpoint = tmp_path / "c.checkpoint"
    start().save(checkpoint)
    other = replace(description, graph=network(digits, *layers("conv32k3"))["graph"], labels="conv32k3")
    with pytest.raises(ModelError, match=r"another training: its layers is 'conv32k4.*here 'conv32k3'.*--force"):
        start(description=other).run(checkpoint=checkpoint)
    with pytest.raises(ModelError, match="its epochs is 3, here 5"):
        start(epochs=5).run(checkpoint=checkpoint)
    with pytest.raises(ModelError, match="trained on other images"):
        start(description=replace(description, trained_on="another digest")).run(checkpoint=checkpoint)


def test_a_checkpoint_of_another_version(start, tmp_path, description):
    checkpoint = tmp_path / "c.checkpoint"
    # As it was before searches and retrainings had one loop.
    torch.save({"identity": description.identity, "epoch": 1, "model": {}, "average": {}, "optimizer": {}}, checkpoint)
    with pytest.raises(ModelError, match=r"written by another version of replaytree.*format None, here 2.*--force"):
        start().run(checkpoint=checkpoint)


def test_a_checkpoint_that_was_trained_elsewhere(start, tmp_path):
    checkpoint = tmp_path / "c.checkpoint"
    start().save(checkpoint)
    state = torch.load(checkpoint, weights_only=True)
    state["training"]["device"] = "cuda"
    torch.save(state, checkpoint)
    with pytest.raises(ModelError, match=r"it was trained on cuda, and this is cpu.*give the --device"):
        start().run(checkpoint=checkpoint)


def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_epoch(start, tmp_path):
    (tmp_path / "models").write_text("a file")
    epochs = []
    with pytest.raises(ModelError, match=r"c\.checkpoint cannot be written: "):
        start().run(checkpoint=tmp_path / "models" / "c.checkpoint", on_epoch=epochs.append)
    assert epochs == []


class Bomb:
    def __reduce__(self):
        return (print, ("code from a file was run",))


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps(Bomb())], ids=["empty", "garbage", "code"])
def test_a_checkpoint_that_was_tampered_with(start, tmp_path, capsys, content):
    checkpoint = tmp_path / "c.checkpoint"
    checkpoint.write_bytes(content)
    with pytest.raises(ModelError, match="is not a checkpoint of replaytree"):
        start().run(checkpoint=checkpoint)
    torch.save({"identity": Bomb()}, checkpoint)
    with pytest.raises(ModelError, match="is not a checkpoint of replaytree"):
        start().run(checkpoint=checkpoint)
    assert capsys.readouterr().out == ""


def test_a_checkpoint_that_unpacks_to_more_than_it_is(start, tmp_path):
    start().save(tmp_path / "c.checkpoint")
    with (
        zipfile.ZipFile(tmp_path / "c.checkpoint") as old,
        zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ModelError, match="compressed or larger than the file"):
        start().run(checkpoint=tmp_path / "packed")


def test_what_an_identity_lacks_is_at_its_value_of_old():
    assert differing({"schedule": "one-cycle", "epochs": 3}, {"epochs": 3}) == ""
    assert differing({"epochs": 3}, {"epochs": 3, "padding": "zeros"}) == ""
    assert differing({"schedule": "cosine"}, {}) == "its schedule is 'cosine', here 'one-cycle'"
    assert differing({}, {"alternate_flip": True}) == "its alternate_flip is False, here True"
