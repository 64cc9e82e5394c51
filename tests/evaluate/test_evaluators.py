import pytest
import torch
from torch import nn

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import SpaceError
from replaytree.evaluate import EVALUATORS, JointEvaluator, SeparateEvaluator, WholeEvaluator
from replaytree.evaluate.evaluators import _with_shared
from replaytree.records import PathEvaluation
from replaytree.space import Convolution, CustomLayer, LabelSpace, LayerSpace, Pooling, trie_cost
from replaytree.training import Recipe, images, loop

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=600)


class Raises(nn.Module):
    def forward(self, images):
        raise KeyError("a mistake in a user's layer")


class OutOfMemory(nn.Module):
    def forward(self, images):
        raise torch.OutOfMemoryError("tried to allocate 900 GiB")


class Explodes(nn.Module):
    def forward(self, images):
        return images * torch.inf


def broken(label, module):
    return CustomLayer(label, lambda shape: module(), output_shape=lambda shape: shape, cost=lambda shape: (0, 0))


FAILURES = {2: "error", 3: "out_of_memory", 4: "diverged"}


@pytest.fixture(scope="module")
def space():
    layers = [
        Convolution(8, 3),
        Pooling("max", 2, 2),
        broken("raises", Raises),
        broken("memory", OutOfMemory),
        broken("explodes", Explodes),
    ]
    return LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=3)


def evaluate(evaluator, space, data, paths, *, seed=0, epochs=2):
    made = evaluator(space, data, recipe=Recipe(batch_size=30), device=CPU)
    return made.evaluate(paths, budget=Budget(epochs), seed=seed)


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_one_accuracy_a_prefix_on_real_images(evaluator, space, digits):
    [result] = evaluate(evaluator, space, digits, [(0, 0, 1)], epochs=6)
    assert result.failure is None
    assert len(result.accuracies) == 3
    assert result.highest > 0.5
    assert result.train_seconds > 0


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_the_same_seed_gives_the_same_accuracies_and_leaves_the_global_generator_alone(evaluator, space, digits):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again = (evaluate(evaluator, space, digits, [(0, 1)], seed=3)[0] for _ in range(2))
    assert first.accuracies == again.accuracies
    assert torch.equal(torch.rand(1), expected)


def test_a_path_of_one_layer_is_the_same_training_jointly_and_separately(space, digits):
    joint, separate = (
        made(space, digits, recipe=Recipe(batch_size=30, hidden=0), device=CPU)
        for made in (JointEvaluator, SeparateEvaluator)
    )
    [one], [other] = (made.evaluate([(0,)], budget=Budget(3), seed=0) for made in (joint, separate))
    assert one.accuracies == other.accuracies


def test_a_whole_path_is_the_last_of_the_separate_trainings_and_its_prefixes_are_not_measured(space, digits):
    separate, whole = (
        made(space, digits, recipe=Recipe(batch_size=60, reward_epochs=2), device=CPU)
        for made in (SeparateEvaluator, WholeEvaluator)
    )
    [every], [last] = (made.evaluate([(0, 1)], budget=Budget(2), seed=4) for made in (separate, whole))
    assert last.accuracies == (None, every.accuracies[-1])
    assert last.best_accuracies == (None, every.best_accuracies[-1])
    # Two layers are too little for the last one of SPACE, which fails.
    [failed] = whole.evaluate([(0, 2)], budget=Budget(2), seed=4)
    assert (failed.accuracies, failed.failure) == ((), "error")


def test_a_whole_path_below_the_bar_is_stopped_at_the_checkpoint(space, digits):
    whole = WholeEvaluator(space, digits, recipe=Recipe(batch_size=60), device=CPU)
    [stopped] = whole.evaluate([(0, 1)], budget=Budget(3, checkpoint=1, bar=1.0), seed=0)
    [kept] = whole.evaluate([(0, 1)], budget=Budget(3, checkpoint=1, bar=0.0), seed=0)
    [alone] = whole.evaluate([(0, 1)], budget=Budget(3), seed=0)
    assert (stopped.epochs, kept.epochs) == (1, None)
    assert stopped.accuracies == (None, stopped.checkpoint_accuracy)
    assert kept.checkpoint_accuracy == stopped.checkpoint_accuracy
    assert kept.accuracies == alone.accuracies


def test_a_network_that_cannot_fit_fails_before_it_is_built(space, digits):
    whole = WholeEvaluator(space, digits, recipe=Recipe(batch_size=30), device=CPU, memory_bytes=1000)
    assert whole.evaluate([(0, 1)], budget=Budget(1), seed=0)[0].failure == "out_of_memory"


def test_heads_of_another_size_are_estimated_as_they_are(space, digits):
    """Memory for two paths with small heads, but not with large ones: those are trained one after the other."""
    paths = [(0, 0), (0, 1)]
    small = trie_cost(space, paths, hidden=0).train_bytes(30)
    assert small < trie_cost(space, paths, hidden=8).train_bytes(30)
    shared = []
    for hidden in (0, 8):
        recipe = Recipe(batch_size=30, hidden=hidden)
        made = JointEvaluator(space, digits, recipe=recipe, device=CPU, memory_bytes=small)
        shared.append([result.shared for result in made.evaluate(paths, budget=Budget(1), seed=0)])
    assert shared == [[0, 1], [0, 0]]


def test_a_path_scores_alone_as_it_does_behind_a_failure(space, digits):
    failed, after = evaluate(JointEvaluator, space, digits, [(0, 2), (0, 1)], seed=7)
    [alone] = evaluate(JointEvaluator, space, digits, [(0, 1)], seed=8)
    assert failed.failure == "error"
    assert after.accuracies == alone.accuracies


def test_paths_together_are_measured_as_one_trie(space, digits):
    deep, beside, prefix = evaluate(JointEvaluator, space, digits, [(0, 0, 1), (0, 0, 0), (0,)], epochs=6)
    assert [len(result.accuracies) for result in (deep, beside, prefix)] == [3, 3, 1]
    assert deep.accuracies[:2] == beside.accuracies[:2]
    assert deep.accuracies[:1] == prefix.accuracies
    assert max(deep.accuracies) > 0.5
    assert [result.shared for result in (deep, beside, prefix)] == [0, 2, 1]


def test_what_is_shared_follows_the_order_of_the_paths():
    paths = [(0,), (0, 1, 2), (1,), (0, 1, 0), (0, 1, 2)]
    marked = _with_shared(paths, [PathEvaluation([0.5] * len(path)) for path in paths])
    assert [evaluation.shared for evaluation in marked] == [0, 1, 0, 2, 3]


def test_equal_paths_are_trained_twice(space, digits):
    first, second = evaluate(JointEvaluator, space, digits, [(0, 1), (0, 1)], seed=5)
    alone = [evaluate(JointEvaluator, space, digits, [(0, 1)], seed=seed)[0] for seed in (5, 6)]
    assert [first.accuracies, second.accuracies] == [result.accuracies for result in alone]
    assert (first.shared, second.shared) == (0, 0)


def test_each_of_two_tries_shares_its_own(space, digits):
    results = evaluate(JointEvaluator, space, digits, [(0, 1), (0, 1), (0, 0), (0, 0)])
    assert [result.shared for result in results] == [0, 0, 1, 1]
    assert results[0].accuracies[0] == results[2].accuracies[0] != results[1].accuracies[0]
    assert results[1].accuracies[0] == results[3].accuracies[0]


def test_separate_trainings_share_nothing(space, digits):
    first, second = evaluate(SeparateEvaluator, space, digits, [(0, 1), (0, 0)], epochs=3)
    assert (first.shared, second.shared) == (0, 0)
    assert first.accuracies[0] != second.accuracies[0]


def test_where_memory_is_short_paths_are_trained_apart(space, digits):
    made = JointEvaluator(
        space, digits, recipe=Recipe(batch_size=30), device=CPU, memory_bytes=trie_cost(space, [(0, 0)]).train_bytes(30)
    )
    apart = made.evaluate([(0, 0), (1,)], budget=Budget(2), seed=5)
    alone = [evaluate(JointEvaluator, space, digits, [path], seed=seed)[0] for path, seed in (((0, 0), 5), ((1,), 6))]
    assert [result.accuracies for result in apart] == [result.accuracies for result in alone]
    [_, beside] = made.evaluate([(0, 0), (0, 1)], budget=Budget(2), seed=5)
    assert beside.shared == 0


def test_what_is_estimated_not_to_fit_is_trained_in_smaller_batches_or_not_at_all(space, digits):
    memory_bytes = trie_cost(space, [(0,)]).train_bytes(15)
    fits_15 = JointEvaluator(space, digits, recipe=Recipe(batch_size=30), device=CPU, memory_bytes=memory_bytes)
    [halved] = fits_15.evaluate([(0,)], budget=Budget(2), seed=0)
    smaller = JointEvaluator(space, digits, recipe=Recipe(batch_size=15, learning_rate=0.05), device=CPU)
    assert halved.accuracies == smaller.evaluate([(0,)], budget=Budget(2), seed=0)[0].accuracies
    nothing_fits = JointEvaluator(space, digits, recipe=Recipe(batch_size=30), device=CPU, memory_bytes=1000)
    [failed] = nothing_fits.evaluate([(0,)], budget=Budget(2), seed=0)
    assert (failed.failure, failed.accuracies) == ("out_of_memory", ())
    assert failed.failure_text == "batches of 15 images are estimated not to fit"


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_a_failing_path_takes_no_other_with_it(space, digits, layer):
    paths = [(0, layer), (0, 1), (0, 0, 1), (0, layer, 1)]
    failures = [None if layer not in path else FAILURES[layer] for path in paths]
    results = evaluate(JointEvaluator, space, digits, paths, seed=3)
    assert [result.failure for result in results] == failures
    without = evaluate(JointEvaluator, space, digits, paths[1:3], seed=4)
    if layer != 3:  # memory: nobody can say who is at fault, so batches are halved
        assert [result.accuracies for result in results[1:3]] == [result.accuracies for result in without]
    assert [len(result.accuracies) for result in results] == [0, 2, 3, 0]
    assert [result.shared for result in results] == [0, 0, 1, 0], "a path that failed reports nothing"


@pytest.mark.parametrize(
    ("layer", "failure", "text"),
    [(2, "error", 'KeyError: "a mistake in a user\'s layer"'), (3, "out_of_memory", "900 GiB"), (4, "diverged", "nan")],
)
def test_what_goes_wrong_is_an_outcome(space, digits, layer, failure, text):
    [joint] = evaluate(JointEvaluator, space, digits, [(0, layer, 0)])
    assert (joint.failure, joint.accuracies) == (failure, ())
    assert text in joint.failure_text
    # Separately, the prefix before the broken layer was measured, and stays so.
    [separate] = evaluate(SeparateEvaluator, space, digits, [(0, layer, 0)])
    assert (separate.failure, len(separate.accuracies)) == (failure, 1)


def pruned(space, digits, paths, bar, *, seed=3):
    made = JointEvaluator(space, digits, recipe=Recipe(batch_size=30), device=CPU)
    return made.evaluate(paths, budget=Budget(4, checkpoint=2, bar=bar), seed=seed)


def test_looking_at_the_checkpoint_changes_nothing(space, digits):
    [looked] = pruned(space, digits, [(0, 1)], None)
    [alone] = evaluate(JointEvaluator, space, digits, [(0, 1)], seed=3, epochs=4)
    assert looked.accuracies == alone.accuracies
    assert (alone.checkpoint_accuracy, looked.epochs) == (None, None)
    # The schedule is that of four epochs, so half-way is not what two epochs reach.
    assert 0.0 < looked.checkpoint_accuracy < max(looked.accuracies)


def test_a_path_that_trails_is_stopped_with_what_it_has_reached(space, digits):
    paths = [(0, 0, 0), (1,)]
    free = pruned(space, digits, paths, None)
    bar = max(result.checkpoint_accuracy for result in free)
    good, bad = pruned(space, digits, paths, bar)
    assert free[1].checkpoint_accuracy < bar
    assert (bad.epochs, bad.accuracies) == (2, (free[1].checkpoint_accuracy,))
    assert bad.failure is None
    assert (good.epochs, good.checkpoint_accuracy, len(good.accuracies)) == (None, bar, 3)
    # Nothing is shared, so what goes on is trained as if the other had gone on, too.
    assert good.accuracies == free[0].accuracies


def test_a_path_is_as_good_as_its_best_prefix_at_the_checkpoint(space, digits, monkeypatch):
    # Nodes are depth first: (0,), (0, 1), (1,), (1, 0).
    monkeypatch.setattr(images, "validation_accuracies", lambda *_, **__: [0.5, 0.25, 0.125, 0.375])
    best_first, best_last = pruned(space, digits, [(0, 1), (1, 0)], None)
    assert (best_first.checkpoint_accuracy, best_last.checkpoint_accuracy) == (0.5, 0.375)
    first, last = pruned(space, digits, [(0, 1), (1, 0)], 0.4)
    assert (first.epochs, first.checkpoint_accuracy) == (None, 0.5)
    assert (last.epochs, last.checkpoint_accuracy, last.accuracies) == (2, 0.375, (0.125, 0.375))
    # A path that reaches the bar goes on.
    assert [result.epochs for result in pruned(space, digits, [(0, 1), (1, 0)], 0.375)] == [None, None]


class ExplodesLate(nn.Module):
    """A convolution; infinite from its 41st training step on, in the third epoch of 600 images in batches of 30."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        return self.layers(images) * (torch.inf if self.steps > 40 else 1.0)


def test_who_diverges_after_others_were_stopped_is_at_fault(digits):
    assert len(digits.train_labels) == 600
    late = CustomLayer("late", lambda shape: ExplodesLate(), lambda shape: (8, *shape[1:]), lambda shape: (88, 4608))
    space = LayerSpace([Pooling("max", 2, 2), late], input_shape=(1, 8, 8), num_classes=10, max_layers=1)
    diverged, stopped = pruned(space, digits, [(1,), (0,)], 0.2)
    assert (diverged.failure, stopped.failure, stopped.epochs) == ("diverged", None, 2)


def test_where_all_trail_nothing_goes_on(space, digits):
    results = pruned(space, digits, [(0, 0), (0, 1)], 1.0)
    assert [(result.epochs, len(result.accuracies)) for result in results] == [(2, 2), (2, 2)]
    assert [result.shared for result in results] == [0, 1]


def test_who_was_stopped_and_who_went_on_share_nothing(space, digits):
    paths = [(1,), (1, 0, 0), (1, 0, 1)]
    free = pruned(space, digits, paths, None)
    assert [result.shared for result in free] == [0, 1, 2]
    bar = min(result.checkpoint_accuracy for result in free[1:])
    assert free[0].checkpoint_accuracy < bar, "the first layer alone must trail"
    results = pruned(space, digits, paths, bar)
    assert [result.epochs for result in results] == [2, None, None]
    assert [result.shared for result in results] == [0, 0, 2]
    assert results[0].accuracies[0] != results[1].accuracies[0]


# A convolution; a pooling of the image beside it; a convolution of both; a second one of the first, so that both stay.
SKIPS = (2, 3, 12, 4)


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_networks_with_skips_and_loose_ends_learn(evaluator, skipping, digits):
    results = [evaluate(evaluator, skipping(), digits, [SKIPS], epochs=epochs)[0] for epochs in (1, 5)]
    assert [result.failure for result in results] == [None, None]
    assert [len(result.accuracies) for result in results] == [4, 4]
    # One class in ten is guessed.
    assert results[1].accuracies[-1] > max(results[0].accuracies[-1], 0.1) + 0.1


def test_a_joint_training_needs_nested_networks(skipping, digits):
    cells = skipping()
    cells.nested = False
    SeparateEvaluator(cells, digits, recipe=Recipe(), device=CPU)
    with pytest.raises(SpaceError, match=r"no part of its continuations' .* \(--evaluator whole\), or each prefix \("):
        JointEvaluator(cells, digits, recipe=Recipe(), device=CPU)
    for kind in EVALUATORS.values():
        with pytest.raises(SpaceError, match="needs an evaluator of your own"):
            kind(LabelSpace(["a"], max_layers=1), digits, recipe=Recipe(), device=CPU)


@pytest.mark.parametrize("evaluator", [JointEvaluator, SeparateEvaluator])
def test_the_best_of_the_last_epochs_is_reported_beside_the_last(digits, space, evaluator, monkeypatch):
    """Validations are counted: the k-th of a training says k / 10, but the last says 0.05."""
    looks = []

    def validate(self):
        looks.append(self.epoch)
        heads = len(self._network.nodes) if hasattr(self._network, "nodes") else 1
        return [0.05 if self.epoch == 4 else self.epoch / 10] * heads

    monkeypatch.setattr(loop.Training, "validate", validate)
    found = {}
    for last in (1, 3, 9):
        looks.clear()
        made = evaluator(space, digits, recipe=Recipe(batch_size=300, reward_epochs=last), device=CPU)
        [found[last]] = made.evaluate([(0, 1)], budget=Budget(4), seed=0)
        once = looks if evaluator is JointEvaluator else looks[: len(looks) // 2]
        assert once == {1: [4], 3: [2, 3, 4], 9: [1, 2, 3, 4]}[last]
    assert {each.accuracies for each in found.values()} == {(0.05, 0.05)}
    assert [found[last].best_accuracies for last in (1, 3, 9)] == [None, (0.3, 0.3), (0.3, 0.3)]


def test_looking_at_several_epochs_changes_no_training(digits, space):
    plain, watched = (
        JointEvaluator(space, digits, recipe=Recipe(batch_size=100, reward_epochs=last), device=CPU) for last in (1, 3)
    )
    for budget in (Budget(3), Budget(3, checkpoint=1, bar=0.0)):
        [one], [other] = (each.evaluate([(0, 1)], budget=budget, seed=0) for each in (plain, watched))
        assert one.accuracies == other.accuracies
        assert all(best >= last for best, last in zip(other.best_accuracies, other.accuracies, strict=True))
