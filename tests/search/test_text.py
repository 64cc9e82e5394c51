"""Searches on a small text, from beginning to end."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import replaytree
from replaytree.config import SearchConfig
from replaytree.data import TextData, load_text
from replaytree.errors import ConfigError, DataError, SpaceError
from replaytree.evaluate import SeparateEvaluator, WholeEvaluator
from replaytree.records import PathEvaluation
from replaytree.search import forecast
from replaytree.space.catalogue import named_space
from replaytree.training.recipe import Recipe
from replaytree.tree import check

SMALL = {
    "hidden": 6, "max_layers": 3, "min_layers": 2, "epochs_first": 1, "epochs_last": 2, "learning_rate": 5.0,
    "bptt": 8, "batch_size": 16, "device": "cpu", "threads": 1, "seed": 3,
}  # fmt: skip
# A supernet has no epochs, so that these are at their default.
SHARED = {"weights": "shared", "epochs_first": 4, "epochs_last": 8}
WHOLE = {"max_layers": 3, "min_layers": 3, "epochs_first": 4, "epochs_last": 8}
CPU = torch.device("cpu")


def everything(search):
    episodes = [(e.path, e.source, e.epochs, e.accuracies, e.failure) for e in search.tree.episodes()]
    return search.tree.node_stats(), episodes


def begun(folder, storage, **options):
    return replaytree.Search(name="s", storage=storage, dataset=str(folder), **{**SMALL, **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"evaluator": "separate", "strategy": "random"},
        {"weights": "inherited"},
        {**SHARED, "passes": 0.3, "num_paths": 2, "strategy": "reinforce"},
    ],
)
def test_a_search_and_a_resumed_one_are_the_same(text_folder, tmp_path, options):
    whole = begun(text_folder, f"sqlite:///{tmp_path}/whole.db", **options).run(trainings=4)
    assert (whole.config.space.space, whole.data.name) == ("enas-rnn", "stories")
    storage = f"sqlite:///{tmp_path}/parts.db"
    begun(text_folder, storage, **options).run(trainings=2)
    parts = replaytree.Search.resume("s", storage=storage).run(trainings=2)
    assert everything(parts) == everything(whole)
    assert check(parts.tree.engine) == []
    # 1 / perplexity: between that of a network that knows nothing and that of one that knows all.
    measured = [a for e in whole.tree.episodes() for a in e.accuracies if a is not None]
    assert len(measured) == (11 if options.get("evaluator") == "separate" else 4)
    assert all(0.5 / whole.data.num_classes < a < 1 for a in measured)


def test_a_killed_search_resumes_as_if_uninterrupted(text_folder, tmp_path):
    storage = f"sqlite:///{tmp_path}/killed.db"
    script = f"""
import os, signal, replaytree
search = replaytree.Search(name="s", storage={storage!r}, dataset={str(text_folder)!r}, **{SMALL!r})
search.run(trainings=4, on_turn=lambda p: p.training_count == 2 and os.kill(os.getpid(), signal.SIGKILL))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ, timeout=120)
    assert done.returncode == -signal.SIGKILL
    parts = replaytree.Search.resume("s", storage=storage, take_over=True)
    assert parts.training_count == 2
    parts.run()
    whole = begun(text_folder, f"sqlite:///{tmp_path}/whole.db").run(trainings=4)
    assert everything(parts) == everything(whole)


def test_it_learns(text_folder, tmp_path):
    search = begun(text_folder, "sqlite://", hidden=16, epochs_first=6, epochs_last=6, batch_size=4).run(trainings=1)
    [node] = search.tree.best(1)
    assert 1 / node.average_accuracy < 0.5 * search.data.num_classes


def test_data_in_memory(text_folder):
    data = load_text(text_folder)
    search = replaytree.Search(data=data, space="enas-rnn", storage="sqlite://", **SMALL).run(trainings=1)
    assert search.training_count == 1
    space = named_space("enas-rnn", input_shape=(1, 1, 1), num_classes=5, max_layers=3)
    with pytest.raises(SpaceError, match=r"input_shape=\(1, 1, 1\), num_classes=5, and the words of stories need"):
        replaytree.Search(data=data, space=space, storage="sqlite://")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"space": "xu24", "hidden": None}, SpaceError, "space 'xu24' is for images, and the data set stories is text"),
        ({"label_smoothing": 0.2}, ConfigError, "--label-smoothing is for images"),
        (
            {"strategy": "darts", **WHOLE}, ConfigError,
            "--strategy darts mixes the layers of networks for images, and the data set stories is text; choose",
        ),
        ({"bptt": 2000}, ConfigError, r"bptt is 2000, and [\d,]+ words of stories in 16 columns make \d+ a column"),
        ({"batch_size": 5000}, ConfigError, r"in 5,000 columns make 0 a column; give --batch-size 13\d or less"),
        ({"evaluator": "joint"}, SpaceError, "--evaluator whole"),
        ({"task": "images", "hidden": None}, DataError, "folder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_text(text_folder, options, error, message):
    with pytest.raises(error, match=message):
        begun(text_folder, "sqlite://", **options)


def test_what_does_not_fit_images(text_folder):
    with pytest.raises(SpaceError, match=r"space 'enas-rnn' is for text, and the data set digits is images; .* xu24"):
        replaytree.Search(space="enas-rnn", storage="sqlite://")
    with pytest.raises(ConfigError, match="--bptt is for text"):
        replaytree.Search(bptt=8, storage="sqlite://")
    with pytest.raises(DataError, match="task is text, and digits is known to be images"):
        replaytree.Search(task="text", dataset="digits", storage="sqlite://")
    with pytest.raises(ConfigError, match="task is images, and the data are text"):
        replaytree.Search(data=load_text(text_folder), space="enas-rnn", task="images", storage="sqlite://")


def test_a_text_that_has_changed_is_another(text_folder, tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    begun(text_folder, storage)
    valid = text_folder / "valid.txt"
    valid.write_text(valid.read_text() + "the unicorn sings\n")
    with pytest.raises(DataError, match="are not those of search 's': val_count was"):
        replaytree.Search.resume("s", storage=storage)
    train = text_folder / "train.txt"
    train.write_text(train.read_text().replace("the cat", "the unicorn", 1))
    with pytest.raises(DataError, match="the words are not those of search 's'"):
        replaytree.Search.resume("s", storage=storage, data=load_text(text_folder))


def test_a_perplexity_that_overflows_is_recorded(text_folder):
    search = begun(text_folder, "sqlite://", learning_rate=1e6, text_clip=None, strategy="random").run(trainings=2)
    episodes = list(search.tree.episodes())
    assert {e.failure for e in episodes} == {"diverged"}
    assert all("perplexity overflowed" in e.failure_text or "loss became" in e.failure_text for e in episodes)


def test_shared_weights_of_text(text_folder):
    search = begun(text_folder, "sqlite://", **SHARED, passes=8.0, evaluator="separate").run(trainings=1)
    [episode] = search.tree.episodes()
    # A prefix is a cell, which has been trained as a part of others only.
    assert len(episode.accuracies) == 2
    assert all(a > 1.2 / search.data.num_classes for a in episode.accuracies)
    [again] = search.workers.evaluator.rescore([episode.path])
    assert again.accuracies == episode.accuracies
    with pytest.raises(
        ConfigError, match=r"passes is 0.001, and of [0-9,]+ training words that is less than half a step"
    ):
        begun(text_folder, "sqlite://", **SHARED, passes=0.001)
    with pytest.raises(
        ConfigError, match=r"score_images is 9999, and there are [0-9]+ validation words; give at most so"
    ):
        begun(text_folder, "sqlite://", **SHARED, score_images=9999)
    with pytest.raises(ConfigError, match=r"--supernet-clip is for images, .* --text-clip"):
        begun(text_folder, "sqlite://", **SHARED, supernet_clip=3.0)


def test_a_prior_of_a_supernet_of_texts(text_folder, monkeypatch):
    monkeypatch.setattr("replaytree.search.prior.OTHER_PATHS", 5)
    search = begun(text_folder, "sqlite://", prior="shared:1", warmup=1).run(trainings=1)
    assert len(search.tree.prior()) >= 5
    assert all(0 < node.average_accuracy < 1 for node in search.tree.prior())


def evaluator(kind, folder, **options):
    data = load_text(folder)
    space = named_space("enas-rnn", input_shape=(1, 1, 1), num_classes=data.num_classes, max_layers=3, hidden=6)
    recipe = Recipe.of(SearchConfig(bptt=8, batch_size=16), data)
    return kind(space, data, recipe=recipe, device=CPU, **options), space


def test_memory_is_that_of_all_words_of_a_step(text_folder):
    _, space = evaluator(WholeEvaluator, text_folder)
    path = space.parse("tanh relu@1")
    network = space.network(path)
    # 16 columns of 8 words are estimated, then 8, which is enough.
    from replaytree.space.trie import TrieCost

    enough = TrieCost(network.params, network.flops, network.activations).train_bytes(8 * 8)
    for memory, failure in ((enough, None), (enough - 1, "out_of_memory")):
        limited, _ = evaluator(WholeEvaluator, text_folder, memory_bytes=memory)
        [found] = limited.evaluate([path], budget=replaytree.Budget(1), seed=0)
        assert found.failure == failure
    assert found.failure_text == "batches of 8 columns are estimated not to fit"


def test_prefixes_are_cells(text_folder):
    separate, space = evaluator(SeparateEvaluator, text_folder)
    path = space.parse("tanh relu@1 sigmoid@1")
    [found] = separate.evaluate([path], budget=replaytree.Budget(1), seed=4)
    [alone] = separate.evaluate([path[:2]], budget=replaytree.Budget(1), seed=4)
    assert found.accuracies[:2] == alone.accuracies


def test_the_forecast_counts_words(text_folder, monkeypatch):
    search = begun(text_folder, "sqlite://", epochs_first=2, batch_size=4)
    seen = []

    def measured(config, space, part, paths):
        seen.append((part.train_count, part.val_count))
        return 0.096

    monkeypatch.setattr(forecast, "_measured_seconds", measured)
    growth = replace(search.growth, depth_bound=3)
    found = forecast.seconds_of(search.config, search.space, search.data, growth=growth, trainings=10)
    # 3 steps of 4 columns of 8 words are 96 words, a millisecond each.
    assert seen == [(97, 2)]
    words = 2 * search.data.train_count + search.data.val_count / 3
    assert found == pytest.approx(10 * words / 1000)
    monkeypatch.undo()
    assert forecast.seconds_of(search.config, search.space, search.data, growth=growth, trainings=1) > 0


def test_uniform_words_have_the_perplexity_of_the_vocabulary():
    generator = torch.Generator().manual_seed(0)
    words = tuple(map(str, range(8)))
    data = TextData.of_words("noise", (*words, "<eos>", "<unk>"), *torch.randint(8, (2, 400), generator=generator))
    search = replaytree.Search(data=data, space="enas-rnn", storage="sqlite://", **SMALL | {"learning_rate": 1e-9})
    evaluations = search.workers.evaluator.evaluate([(0,)], budget=replaytree.Budget(1), seed=0)
    assert isinstance(evaluations[0], PathEvaluation)
    assert -math.log(evaluations[0].accuracies[0]) == pytest.approx(math.log(10), abs=0.02)
