import io

import pytest
import torch
from torch import nn

from replaytree.config import Budget
from replaytree.config.weights import WeightOptions
from replaytree.data import load_data
from replaytree.errors import ConfigError, SpaceError
from replaytree.evaluate import SharedEvaluator
from replaytree.space import Convolution, CustomLayer, LabelSpace, LayerSpace, Pooling
from replaytree.space.catalogue import named_space
from replaytree.space.coding import legal_actions
from replaytree.training import Recipe

CPU = torch.device("cpu")
SPACE = LayerSpace(
    [Convolution(4, 3), Convolution(8, 3), Pooling("max", 2, 2)], input_shape=(1, 8, 8), num_classes=10, max_layers=3
)
TURNS = [[(0, 0), (1, 2)], [(1, 1, 0)], [(0, 2, 1), (0, 2, 0)], [(1, 0, 0), (0,)]]


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=256)


def evaluator(digits, space=SPACE, *, passes=1.0, score_images=None, memory_bytes=None, kind=None, seed=0, **recipe):
    return SharedEvaluator(
        space,
        digits,
        recipe=Recipe(**{"batch_size": 32, "crop_padding": 1} | recipe),
        device=CPU,
        weights=WeightOptions(weights="shared", passes=passes, score_images=score_images),
        seed=seed,
        evaluator=kind or ("joint" if space.nested else "whole"),
        memory_bytes=memory_bytes,
    )


def turns(own, numbers):
    return [own.evaluate(TURNS[number], budget=Budget(1), seed=number) for number in numbers]


def scores(evaluations):
    return [[(each.accuracies, each.epochs, each.shared, each.failure) for each in turn] for turn in evaluations]


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_supernet_that_was_saved_and_loaded_goes_on_to_the_bit(digits, after):
    whole = evaluator(digits)
    expected = turns(whole, range(4))
    first, second = evaluator(digits), evaluator(digits)
    turns(first, range(after))
    # Scores between turns are nobody's business but the tree's.
    first.rescore([(2, 1, 0)])
    second.load_state_dict(through_a_file(first.state_dict()))
    found = turns(second, range(after, 4))
    assert scores(found) == scores(expected[after:])
    assert second.state_dict()["training"]["steps"] == 4 * 8
    assert same(second.state_dict(), whole.state_dict())


def test_the_same_state_gives_the_same_scores_whatever_else_is_scored(digits):
    own = evaluator(digits, score_images=60)
    turns(own, range(4))
    before = through_a_file(own.state_dict())
    [alone] = own.rescore([(1, 1, 0)])
    among = own.rescore([(0, 1), (1, 1, 0), (1, 1, 0), (1, 1, 2), (2,)])
    assert among[1].accuracies == alone.accuracies
    assert (alone.epochs, alone.shared, among[2].shared, among[3].shared, among[4].shared) == (4, 0, 3, 2, 0)
    assert [own.rescore([(1, 1, 0)])[0].accuracies for _ in range(2)] == [alone.accuracies] * 2
    # All 180 images, and not 60 as in a turn.
    assert all(accuracy * 180 == pytest.approx(round(accuracy * 180)) for accuracy in alone.accuracies)
    assert any(accuracy * 60 != pytest.approx(round(accuracy * 60)) for each in among for accuracy in each.accuracies)
    # Nor do scores change the state, also of layers that no path was trained with, or that read more channels.
    assert same(own.state_dict(), before)


def test_each_turn_is_scored_on_other_images_and_all_its_paths_on_the_same(digits, monkeypatch):
    own, seen = evaluator(digits, score_images=60), []
    accuracies = own._training.accuracies

    def spied(paths, images_N, *, batch_size):
        seen.append(images_N.tolist())
        return accuracies(paths, images_N, batch_size=batch_size)

    monkeypatch.setattr(own._training, "accuracies", spied)
    found = turns(own, [0, 1, 0])
    assert all(a * 60 == pytest.approx(round(a * 60)) for turn in found for each in turn for a in each.accuracies)
    first, second, again = seen
    # By the seed of the turn, so that a resumed search scores on the same.
    assert first == again
    assert set(first) != set(second)
    assert [len(set(each)) for each in seen] == [60] * 3


def test_cells_are_scored_whole_unless_every_prefix_is_asked_for(digits):
    space = named_space("enas-micro", input_shape=(1, 8, 8), num_classes=10, max_layers=3, channels=4)
    path = (0, 0, 0)
    for kind, measured in (("whole", [False, False, True]), ("separate", [True] * 3)):
        own = SharedEvaluator(
            space, digits, recipe=Recipe(batch_size=32), device=CPU, seed=0, evaluator=kind,
            weights=WeightOptions(weights="shared", passes=0.2, score_images=40),
        )  # fmt: skip
        [found] = own.evaluate([path], budget=Budget(1), seed=0)
        assert [accuracy is not None for accuracy in found.accuracies] == measured
        assert found.shared == 0


def test_it_learns_and_counts_its_turns_as_epochs(digits):
    own = evaluator(digits, passes=2.0, learning_rate=0.4)
    found = [own.evaluate([(1, 1)], budget=Budget(7), seed=turn)[0] for turn in range(5)]
    assert [each.epochs for each in found] == [1, 2, 3, 4, 5]
    assert all(len(each.accuracies) == 2 for each in found)
    assert found[-1].accuracies[1] > 0.6
    assert found[-1].train_seconds > 0.0


def test_paths_are_trained_in_turn_one_a_minibatch(digits, monkeypatch):
    own = evaluator(digits)
    trained = []
    step = own._training.step

    def told(path, inputs, labels, *, rate, share):
        trained.append((path, len(labels), share))
        return step(path, inputs, labels, rate=rate, share=share)

    monkeypatch.setattr(own._training, "step", told)
    own.evaluate([(0, 0), (1,), (2, 1)], budget=Budget(1), seed=0)
    # 256 images in batches of 32.
    assert [path for path, _, _ in trained] == [(0, 0), (1,), (2, 1), (0, 0), (1,), (2, 1), (0, 0), (1,)]
    assert {rest for _, *rest in map(tuple, trained) for rest in [tuple(rest)]} == {(32, 1.0)}


def test_where_memory_does_not_suffice_batches_are_smaller_and_then_a_path_fails(digits, monkeypatch):
    own = evaluator(digits)
    own.evaluate([(1, 1, 1)], budget=Budget(1), seed=0)
    weights = own._training.supernet.nbytes
    cost = own._cost((1, 1, 1))
    trained = []
    enough = evaluator(digits, memory_bytes=weights + cost.train_bytes(16))
    step = enough._training.step

    def told(path, inputs, labels, *, rate, share):
        trained.append((len(labels), share))
        return step(path, inputs, labels, rate=rate, share=share)

    monkeypatch.setattr(enough._training, "step", told)
    [fitting] = enough.evaluate([(1, 1, 1)], budget=Budget(1), seed=0)
    assert fitting.failure is None
    # The very first step makes the weights, so it does not count them yet.
    assert trained[1:] == [(16, 0.5)] * 14 or trained == [(16, 0.5)] * 16
    little = evaluator(digits, memory_bytes=weights + cost.train_bytes(7))
    failing, other = little.evaluate([(1, 1, 1), (2,)], budget=Budget(1), seed=0)
    assert (failing.failure, failing.accuracies) == ("out_of_memory", ())
    assert "batches of 8 images are estimated not to fit: trainings may use" in failing.failure_text
    assert other.failure is None


def test_a_supernet_of_which_no_network_fits_is_refused_before_anything_is_trained(digits):
    said = r"a supernet does not fit into memory: a network of one layer .* batches of 8 images, .* \(--image-size\)"
    least = evaluator(digits)._cost((2,)).train_bytes(8)
    evaluator(digits, memory_bytes=least)
    with pytest.raises(ConfigError, match=said):
        evaluator(digits, memory_bytes=least - 1)
    cells = named_space("enas-micro", input_shape=(1, 8, 8), num_classes=10, max_layers=2, channels=4)
    with pytest.raises(ConfigError, match=said):
        evaluator(digits, cells, memory_bytes=1000)
    # The cheapest of many layers is looked for before any supernet is refused.
    many = named_space("tiny", input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    costs = evaluator(digits, many)._cost
    least = min(costs((action,)).train_bytes(8) for action in legal_actions(many, ()))
    evaluator(digits, many, memory_bytes=least)
    with pytest.raises(ConfigError, match=said):
        evaluator(digits, many, memory_bytes=least - 1)


def test_a_path_that_diverges_fails(digits):
    own = evaluator(digits, learning_rate=1e30)
    first, second = own.evaluate([(1, 1), (0, 0)], budget=Budget(1), seed=0)
    assert first.failure == second.failure == "diverged"
    assert "infinite" in first.failure_text


def test_with_whole_cells_the_failure_of_a_prefix_is_its_own(digits, monkeypatch):
    space = named_space("enas-micro", input_shape=(1, 8, 8), num_classes=10, max_layers=2, channels=4)
    prefix, path = (0,), (0, 0)
    own = evaluator(digits, space)
    step = own._training.step

    def diverging(trained, *batch, **how):
        return trained != prefix and step(trained, *batch, **how)

    monkeypatch.setattr(own._training, "step", diverging)
    first, second = own.evaluate([prefix, path], budget=Budget(1), seed=0)
    assert first.failure == "diverged"
    assert second.failure is None
    assert second.accuracies[0] is None
    assert second.accuracies[1] is not None


def test_a_rate_that_would_rise_to_its_lowest_is_refused(digits):
    def made(lowest_rate):
        weights = WeightOptions(weights="shared", restart_passes=1.0, lowest_rate=lowest_rate)
        return SharedEvaluator(
            SPACE, digits, recipe=Recipe(batch_size=32, learning_rate=0.1), device=CPU, weights=weights, seed=0
        )

    made(0.1)
    with pytest.raises(ConfigError, match=r"lowest_rate is 0.2, over the peak of 0.1; give a lower one"):
        made(0.2)


def test_a_state_of_another_space_is_refused(digits):
    own, other = (
        evaluator(digits, named_space(n, input_shape=(1, 8, 8), num_classes=10, max_layers=2)) for n in ("xu24", "tiny")
    )
    with pytest.raises(ValueError, match="the state of a supernet has space"):
        other.load_state_dict(own.state_dict())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"passes": 0.05}, "passes is 0.05, and of 256 training images that is less than half a batch of 32"),
        ({"score_images": 181}, "score_images is 181, and there are 180 validation images"),
    ],
)
def test_fewer_images_than_are_asked_for(digits, options, said):
    with pytest.raises(ConfigError, match=said):
        evaluator(digits, **options)


def test_a_supernet_that_is_prepared_for_no_step_is_refused(digits):
    own = evaluator(digits)
    with pytest.raises(ConfigError, match=r"passes is 0.05, and of 256 .* half a batch of 32; give 0.12 or more"):
        own.prepare(0.05, seed=0)
    assert own.state_dict()["turns"] == 0


def test_a_part_of_a_pass(digits):
    own = evaluator(digits, passes=0.25)
    own.evaluate([(0,)], budget=Budget(1), seed=0)
    assert own.state_dict()["training"]["steps"] == 2


OWN = CustomLayer("own", lambda shape: nn.Identity(), output_shape=lambda shape: shape, cost=lambda shape: (0, 0))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (LabelSpace(["a", "b"], max_layers=2), "needs an evaluator of your own"),
        (
            LayerSpace([Convolution(4, 3), OWN], input_shape=(1, 8, 8), num_classes=10, max_layers=2),
            "layer 'own' is one of your own",
        ),
        (named_space("metaqnn", input_shape=(1, 8, 8), num_classes=10, max_layers=3), "layers without batch norm"),
    ],
)
def test_a_space_without_a_supernet(digits, space, said):
    with pytest.raises(SpaceError, match=said):
        evaluator(digits, space, kind="whole")


@pytest.mark.parametrize("name", ["xu24", "tiny", "zoph", "enas-macro", "enas-micro", "darts", "nasnet"])
def test_every_space_with_a_supernet_is_trained_and_scored(digits, name, random_paths):
    options = {"channels": 4} if name in ("enas-macro", "enas-micro", "darts", "nasnet") else {}
    space = named_space(name, input_shape=(1, 8, 8), num_classes=10, max_layers=3, **options)
    own = evaluator(digits, space, passes=0.5, score_images=40)
    paths = random_paths(space, 2)
    for evaluation, path in zip(own.evaluate(paths, budget=Budget(1), seed=0), paths, strict=True):
        assert evaluation.failure is None, evaluation.failure_text
        assert len(evaluation.accuracies) == len(path)
        unmeasured = 0 if space.nested else len(path) - 1
        assert [accuracy is None for accuracy in evaluation.accuracies].count(True) == unmeasured


def test_cells_are_scored_whole_or_each_prefix_by_itself(digits, random_paths):
    space = named_space("darts", input_shape=(1, 8, 8), num_classes=10, max_layers=2, channels=4)
    [(first, second)] = random_paths(space, 1)
    third = next(action for action in range(second + 1, 10**6) if space.allows((first,), action))
    paths = [(first, second), (first,), (first, second), (first, third)]
    whole, separate = (evaluator(digits, space, kind=kind, passes=0.5) for kind in ("whole", "separate"))
    found, every = (
        [each.accuracies for each in own.evaluate(paths, budget=Budget(1), seed=0)] for own in (whole, separate)
    )
    (_, both), (alone,), _, (_, other) = found
    assert found == [(None, both), (alone,), (None, both), (None, other)]
    # The same supernet was trained, and scores the same.
    assert every == [(alone, both), (alone,), (alone, both), (alone, other)]
    assert [each.shared for each in whole.rescore(paths)] == [0, 0, 2, 0]
    assert [each.shared for each in separate.rescore(paths)] == [0, 1, 2, 1]
    with pytest.raises(SpaceError, match="--evaluator"):
        evaluator(digits, space, kind="joint")


def test_a_supernet_is_prepared_on_random_paths_at_a_rate_that_falls(digits, monkeypatch):
    own = evaluator(digits)
    trained = []
    step = own._training.step

    def told(path, inputs, labels, *, rate, share):
        trained.append((path, rate))
        return step(path, inputs, labels, rate=rate, share=share)

    monkeypatch.setattr(own._training, "step", told)
    own.prepare(5.0, seed=3, rate=0.4)
    paths, rates = zip(*trained, strict=True)
    assert len(set(paths)) > 10
    assert {len(path) for path in paths} <= {2, 3}
    # Of 40 steps the first takes a 25th of the rate, the last almost nothing.
    assert (len(rates), rates[0], max(rates)) == (40, pytest.approx(0.4 / 25), pytest.approx(0.4, rel=0.03))
    assert rates[-1] < 0.02
    assert own.rescore([(1, 1)])[0].epochs == 1
    trained.clear()
    own.prepare(0.5, seed=0, paths=iter([(0,), (1, 1)]))
    assert [path for path, _ in trained] == [(0,), (1, 1)]
    assert trained[0][1] == pytest.approx(0.3 / 25)


def test_the_rate_falls_and_begins_anew_over_the_passes_of_all_turns(digits, monkeypatch):
    own = SharedEvaluator(
        SPACE, digits, recipe=Recipe(batch_size=32, learning_rate=0.05), device=CPU, seed=0,
        weights=WeightOptions(weights="shared", passes=0.5, restart_passes=1.0, restart_factor=2.0, lowest_rate=0.01),
    )  # fmt: skip
    rates = []
    monkeypatch.setattr(own._training, "step", lambda *batch, rate, share: not rates.append(rate))
    for turn in range(6):
        # Steps that are not taken move no schedule: 4 of them a turn.
        own._training._taken = 4.0 * turn
        own.evaluate([(0,)], budget=Budget(1), seed=turn)
    # Peaks at 0, 1 and 3 passes; half-way in the first cycle and a quarter and a half through the second.
    found = rates[::4]
    assert found == pytest.approx([0.05, 0.03, 0.05, 0.01 + 0.02 * (1 + 2**-0.5), 0.03, 0.01 + 0.02 * (1 - 2**-0.5)])
    assert own._rate() != 0.05
    own._training._taken = 24.0
    assert own._rate() == pytest.approx(0.05)
    assert evaluator(digits, learning_rate=0.07)._rate() == 0.07
