import json
from types import SimpleNamespace

import numpy as np
import pytest

from replaytree import cli
from replaytree.bench import baselines as measured
from replaytree.bench.baselines import Job, Outcome, Trained, compared
from replaytree.data import load_data
from replaytree.deliver import path_subject
from replaytree.errors import ConfigError
from replaytree.search.search import Search


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Digits, a tenth of which is the test part."""
    data = load_data("digits", val_fraction=0.1, seed=0)
    file = tmp_path_factory.mktemp("images") / "small.npz"
    parts = {"train": (data.train_images, data.train_labels), "test": (data.val_images, data.val_labels)}
    np.savez(file, **{f"{part}_{name}": own[name == "y"].numpy() for part, own in parts.items() for name in "xy"})
    return str(file)


def trained(name, accuracy):
    return Trained(name, "conv32k3", 10, 100, 3, 6.0, accuracy)


def test_differences_are_of_the_test_accuracies_seed_by_seed():
    jobs = [Job("resnet8", seed, 1.0, 3, ()) for seed in (4, 5)]
    pairs = [(0.75, 0.5), (0.5, 0.5)]
    outcomes = [
        Outcome(job, 7, trained("found", ours), trained("resnet8", theirs))
        for job, (ours, theirs) in zip(jobs, pairs, strict=True)
    ]
    row = compared(outcomes)
    assert (row.first_mean, row.second_mean, row.points, row.low, row.high, row.n) == (0.625, 0.5, 12.5, 0.0, 25.0, 2)


@pytest.mark.parametrize(("each", "expected"), [(1e-9, None), (1e9, 1), (0.4, "as fit")])
def test_a_baseline_has_as_many_whole_epochs_as_fit_and_at_least_one(monkeypatch, images, each, expected):
    asked, configs = [], []
    monkeypatch.setattr(measured, "epoch_seconds", lambda subject: each)
    monkeypatch.setattr(measured, "Search", lambda **named: configs.append(named["config"]) or Search(**named))

    def instead(name, subject, *, epochs, seed, before=0.0):
        asked.append((name, epochs, before, seed))
        return Trained(name, " ".join(subject.labels), 1, subject.graph.flops, epochs, before + 2.0, 0.5)

    monkeypatch.setattr(measured, "_trained", instead)
    outcome = measured.run_job(Job("resnet8", 4, 0.02, 3, (("dataset", images), ("max_layers", 2))))
    (_, ours, searched, _), (name, epochs, _, _) = asked
    assert (name, ours) == ("resnet8", 3)
    assert outcome.trainings >= 1
    assert searched > 0.0
    assert epochs == {None: int((searched + 2.0) / each), 1: 1, "as fit": int((searched + 2.0) / 0.4)}[expected]
    # As published: no width in its name.
    assert outcome.baseline.labels == "resnet8"
    [config] = configs
    assert [config.to_options()["seed"], asked[0][-1], asked[1][-1]] == [4, 4, 4]
    assert (config.machine.device, config.machine.threads) == ("cpu", 1)


def test_the_seconds_of_what_was_found_are_those_of_its_search_too(monkeypatch, images):
    given = []

    def instead(subject, **named):
        given.append(named)
        yield SimpleNamespace(test_accuracy=0.75)

    monkeypatch.setattr(measured, "retrain", instead)
    subject = path_subject("conv32k3", options={"dataset": images})
    found = measured._trained("found", subject, epochs=3, seed=6, before=1000.0)
    assert 1000.0 <= found.seconds < 1001.0
    assert (found.test_accuracy, found.epochs, found.flops) == (0.75, 3, subject.graph.flops)
    assert (given[0]["seeds"], given[0]["epochs"]) == ([6], 3)


def test_an_epoch_reads_the_train_and_the_validation_images(monkeypatch, images):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(measured, "training_step", lambda *given, **named: lambda: None)
    monkeypatch.setattr(measured.time, "process_time", lambda: next(clock))
    subject = path_subject("conv32k3", options={"dataset": images})
    count = len(subject.data.train_labels) + len(subject.data.val_labels)
    assert count > len(subject.data.train_labels)
    # A step takes 2 s, of batches that are a fiftieth of the train images.
    assert measured.epoch_seconds(subject) == 2.0 * count / (len(subject.data.train_labels) // 50)


# What ds-cnn has as published on images of 32 x 32 is 5,227,136 FLOPs; those here are of 8 x 8.
@pytest.mark.parametrize(("words", "flops"), [([], range(1, 100_001)), (["--full-size"], range(250_000, 400_000))])
def test_the_command(tmp_path, capsys, images, words, flops):
    few = ["--minutes", "0.02", "--epochs", "1", "--option", f"dataset={images}", "--option", "max_flops=100000"]
    few += ["--seeds", "2", "--first-seed", "5", "--baseline", "ds-cnn", "--json", str(tmp_path / "j")]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["bench", "baselines", *few, *words])
    assert "ds-cnn" in capsys.readouterr().out
    found = json.loads((tmp_path / "j").read_text())
    assert [outcome["job"]["seed"] for outcome in found["outcomes"]] == [5, 6]
    for outcome in found["outcomes"]:
        assert outcome["found"]["epochs"] == 1
        # Epochs of the baseline are estimated from a few steps, and one is the least.
        assert outcome["baseline"]["epochs"] >= 1
        # It is scaled to the limits of the search, or as published.
        assert outcome["baseline"]["flops"] in flops
        assert outcome["found"]["flops"] <= 100_000
        assert 0.0 <= outcome["baseline"]["test_accuracy"] <= 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--baseline", "resnet9"], "'resnet9' is not a baseline; these are: resnet8, resnet18,"),
        (["--option", "no_such=1"], "no_such"),
        ([], "digits has no test images, by which networks are compared"),
        (["--option", "seed=3"], "seed is the measurement's own; leave out --option seed=..."),
        (["--option", "threads=2"], "threads is the measurement's own"),
        (["--option", "dataset=ptb", "--option", "space=plain-rnn"], "ptb is a text; choose images"),
    ],
)
def test_what_cannot_be_compared(capsys, words, told):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "baselines", *words])
    assert told in capsys.readouterr().err


def test_a_baseline_that_does_not_fit_is_refused_before_the_search(monkeypatch, images):
    monkeypatch.setattr(Search, "run", lambda *given, **named: pytest.fail("it was searched"))
    with pytest.raises(ConfigError, match="no form of mobilenet-v3-small has at most 1,000 parameters"):
        measured.run_job(Job("mobilenet-v3-small", 0, 1.0, 3, (("dataset", images), ("max_params", 1000))))
