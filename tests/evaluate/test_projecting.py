"""Deriving by perturbation: what validation misses most stays."""

import pytest
import torch

from replaytree.data import load_data
from replaytree.evaluate.projecting import Projecting, chosen
from replaytree.networks.mixed import Mix, MixedNetwork
from replaytree.space.darts import Darts
from replaytree.space.mixed import Mixing, Projection
from replaytree.space.mixed_darts import DartsMixture
from replaytree.training.bilevel import EpochLosses

EDGE = Mixing("edge", ("none", "a", "b", "c"), never=(0,))
SET = Mixing("set", ("0", "1", "2"), "inputs")
ROW = (0.4, 0.3, 0.2, 0.1)


def test_of_a_choice_the_option_stays_whose_removal_hurts_most():
    seen = []

    def without(changed):
        seen.append(changed[0])
        return {1: 0.8, 2: 0.5, 3: 0.6}[changed[0].index(0.0)]

    assert chosen(Projection("edge", (0,)), [EDGE], [ROW], without) == {0: (0.0, 0.0, 1.0, 0.0)}
    # Each is left out by itself, the others as they weigh; none is not asked about, as it is never derived.
    assert seen == [(0.4, 0.0, 0.2, 0.1), (0.4, 0.3, 0.0, 0.1), (0.4, 0.3, 0.2, 0.0)]


def test_of_equal_ones_the_first_stays():
    assert chosen(Projection("edge", (0,)), [EDGE], [ROW], lambda _: 0.5) == {0: (0.0, 1.0, 0.0, 0.0)}


def test_of_a_node_the_edges_stay_whose_removal_hurts_most():
    accuracies = {0: 0.5, 1: 0.9, 2: 0.4, 3: 0.7}

    def without(changed):
        [(of, row)] = changed.items()
        assert not any(row)
        return accuracies[of]

    rows = [(0.0, 1.0, 0.0, 0.0)] * 4
    assert chosen(Projection("node", (0, 1, 2, 3), keep=2), [EDGE] * 4, rows, without) == {
        1: (0.0, 0.0, 0.0, 0.0), 3: (0.0, 0.0, 0.0, 0.0),
    }  # fmt: skip


def test_of_weights_of_edges_those_stay_whose_removal_hurts_most():
    node = Mixing("node", ("0", "1", "2"))

    def without(changed):
        return {0: 0.5, 1: 0.9, 2: 0.4}[changed[0].index(0.0)]

    assert chosen(Projection("node", (0,), keep=2), [node], [(0.2, 0.5, 0.3)], without) == {0: (1.0, 0.0, 1.0)}


def test_an_edge_of_pc_darts_that_goes_passes_nothing_by():
    mixture = DartsMixture(Darts(input_shape=(1, 8, 8), num_classes=10, channels=4, cells=3, max_layers=4), share=4)
    network = MixedNetwork(mixture.graph)
    images = torch.randn(4, 1, 8, 8)
    [normal, reduction] = [step for step in mixture.projections() if step.keep is not None]
    assert [step.name for step in (normal, reduction)] == ["normal 3", "reduction 3"]
    rows = [(1 / len(mixing.options),) * len(mixing.options) for mixing in mixture.graph.decisions]
    asked = []

    def without(changed):
        asked.append(changed)
        return {0: 0.1, 1: 0.2, 2: 0.3}[changed[normal.decisions[0]].index(0.0)]

    fixed = chosen(normal, mixture.graph.decisions, rows, without)
    kept = [fixed.get(of, row) for of, row in enumerate(rows)]
    before = network(images, Mix.of_rows(kept, torch.device("cpu")))
    # Edge 2 goes. Whatever its operations weigh then, even where none of them is left, nothing comes of it.
    [gone] = [of for of, mixing in enumerate(mixture.graph.decisions) if mixing.name == "normal 3<-2"]
    for row in ((0.0,) * 8, (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)):
        changed = [row if of == gone else other for of, other in enumerate(kept)]
        assert torch.equal(network(images, Mix.of_rows(changed, torch.device("cpu"))), before)
    assert len(asked) == 3


def test_of_a_set_those_stay_without_which_validation_is_worse():
    # 0.6 with all three; without the second it is as good, without the third better.
    accuracies = {(): 0.6, 0: 0.5, 1: 0.6, 2: 0.7}

    def without(changed):
        return accuracies[changed[0].index(0.0) if changed else ()]

    assert chosen(Projection("set", (0,)), [SET], [(0.5, 0.6, 0.7)], without) == {0: (1.0, 0.0, 0.0)}


def test_options_come_before_inputs_in_an_order_by_the_seed():
    mixture = DartsMixture(Darts(input_shape=(1, 8, 8), num_classes=10, channels=4, cells=3, max_layers=4))
    orders = [[step.name for step in Projecting(mixture, seed=seed).steps] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(step.name for step in mixture.projections())
    assert set(orders[0][-2:]) == {"normal 3", "reduction 3"}


def test_what_was_chosen_outlives_a_file():
    mixture = DartsMixture(Darts(input_shape=(1, 8, 8), num_classes=10, channels=4, cells=3, max_layers=2))
    own, other = Projecting(mixture, seed=0), Projecting(mixture, seed=0)
    own.load_state_dict({"done": 4, "fixed": {2: [0.0, 1.0]}})
    other.load_state_dict(own.state_dict())
    assert other.is_done
    assert other.with_fixed([(9.0, 9.0)] * 3) == [(9.0, 9.0), (9.0, 9.0), (0.0, 1.0)]


def test_a_step_is_asked_of_the_images_that_train_the_numbers():
    asked = []

    class Training:
        number_images = None

        def rows(self):
            return [ROW] * 4

        def accuracy(self, rows, data, index_N, *, batch_size):
            asked.append((data.val_images, len(index_N)))
            return 0.5

        def tune(self, fixed):
            raise AssertionError("no epochs of tuning were asked for")

    Training.number_images = load_data("digits", train_limit=40)
    mixture = DartsMixture(Darts(input_shape=(1, 8, 8), num_classes=10, channels=4, cells=3, max_layers=2))
    Projecting(mixture, seed=0).step(Training(), tuning_epochs=0)
    assert {count for _, count in asked} == {40}
    assert all(images is Training.number_images.train_images for images, _ in asked)


@pytest.mark.parametrize("tuning_epochs", [0, 2])
def test_weights_are_tuned_after_a_choice(tuning_epochs):
    tuned = []

    class Training:
        number_images = load_data("digits", train_limit=20)

        def rows(self):
            return [(0.125,) * 8] * 4

        def accuracy(self, rows, data, index_N, *, batch_size):
            return 0.5

        def tune(self, fixed):
            tuned.append(dict(fixed))
            return EpochLosses(1.0, None, True)

    mixture = DartsMixture(Darts(input_shape=(1, 8, 8), num_classes=10, channels=4, cells=3, max_layers=2))
    own = Projecting(mixture, seed=0)
    own.step(Training(), tuning_epochs=tuning_epochs)
    assert len(tuned) == tuning_epochs
    assert all(len(fixed) == 1 for fixed in tuned)
