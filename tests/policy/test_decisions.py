"""The controller, mutants and random paths where a layer is several decisions, with a pointer to earlier layers."""

import math
from itertools import product

import pytest
import torch

from replaytree.config.controller import ControllerOptions
from replaytree.policy.controller import Controller
from replaytree.policy.evolution import mutant
from replaytree.policy.pointer import Pointer
from replaytree.policy.random_search import random_path
from replaytree.records import Decision
from replaytree.space.coding import decode, encode, ended, is_legal, legal_actions

HEIGHT = Decision("height", ("1", "3", "5"))
STOP = 2


class Skips:
    """At most four layers: a height and any earlier layers, of which layer 2 may never be read.

    Height 5 ends the path. One earlier layer (or the image, 0) is chosen by `above`.
    """

    max_layers = 4

    def decisions(self, depth):
        earlier = range(1, depth)
        names = tuple(map(str, earlier))
        return (
            HEIGHT,
            Decision("above", ("0", *names), "input", (0, *earlier)),
            Decision("inputs", names, "inputs", tuple(earlier)),
        )

    def legal(self, prefix, chosen=()):
        over = len(prefix) == 4 or (prefix and self.values(prefix)[-1][0] == STOP)
        if not chosen:
            return (False, False, False) if over else (True, True, len(prefix) > 0)
        if len(chosen) == 1:
            return (True,) * (len(prefix) + 1)
        return tuple(layer != 2 for layer in range(1, len(prefix) + 1))

    def values(self, path):
        return [decode(self.decisions(depth), action) for depth, action in enumerate(path, start=1)]


SPACE = Skips()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def controller():
    return Controller(SPACE, ControllerOptions(hidden_size=16), generator=generator())


def all_paths(depth):
    """Every path that is as deep as `depth`, or ends before."""
    frontier, done = [()], []
    while frontier:
        path = frontier.pop()
        if len(path) == depth or (path and ended(SPACE, path)):
            done.append(path)
        else:
            frontier += [(*path, action) for action in legal_actions(SPACE, path)]
    return done


def test_the_probabilities_of_all_paths_add_up_to_1(controller):
    paths = all_paths(2)
    # Layer 1: two heights, one input, no others; layer 2: three heights, two inputs, layer 1 or nothing.
    assert len(paths) == 2 * 3 * 2 * 2
    with torch.no_grad():
        total = controller.score(paths).log_probs_BT.sum(dim=1).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)


def test_what_was_sampled_is_legal_and_scored_as_it_was_drawn(controller):
    prefix = (encode(SPACE.decisions(1), (1, 0, 0)),)
    drawn = controller.sample([(), prefix, prefix, ()] * 20, depth_bound=4, generator=generator(1))
    scored = controller.score([path for path, _ in drawn]).log_probs_BT
    for b, (path, shares) in enumerate(drawn):
        assert all(is_legal(SPACE, path[:t], action) for t, action in enumerate(path))
        assert len(path) == 4 or ended(SPACE, path)
        given = len(path) - len(shares)
        assert path[:given] == [(), prefix, prefix, ()][b % 4]
        own = scored[b, given : len(path)].exp().tolist()
        assert list(shares) == pytest.approx(own, rel=1e-4)
    assert {len(path) for path, _ in drawn} > {4}, "some end early"


def test_entropy_is_that_of_all_decisions(controller):
    with torch.no_grad():
        for weights in controller.parameters():
            weights.zero_()
        # One layer: two legal heights, one thing above, no layer to read.
        first = controller.score([(0,)])
        # Layer 2 after it: three heights, two things above, one layer read or not.
        second = controller.score([(0, 0)])
    assert float(first.entropy_BT[0, 0]) == pytest.approx(math.log(2), abs=1e-6)
    assert float(second.entropy_BT[0, 1]) == pytest.approx(math.log(3) + math.log(2) + math.log(2), abs=1e-6)
    assert float(second.log_probs_BT[0, 1]) == pytest.approx(-math.log(12), abs=1e-6)


def test_a_share_of_every_decision_may_be_uniform(controller):
    with torch.no_grad():
        for weights in controller.parameters():
            weights.zero_()
        controller.logits["height"].bias.copy_(torch.tensor([20.0, 0.0, 0.0]))
    drawn = controller.sample([()] * 400, depth_bound=1, generator=generator(), uniform=0.5)
    shares = {SPACE.values(path)[0][0]: share for path, [share] in drawn}
    # Half of the time uniform over the two legal heights: 0.75 and 0.25; nothing else is to be decided.
    assert shares == {0: pytest.approx(0.75, abs=1e-5), 1: pytest.approx(0.25, abs=1e-5)}


def test_where_all_is_uniform_each_input_is_taken_half_of_the_time(controller):
    first = (encode(SPACE.decisions(1), (0, 0, 0)),)
    drawn = controller.sample([first] * 200, depth_bound=2, generator=generator(), uniform=1.0)
    # Three heights, two things above, and layer 1 read or not.
    assert {round(share, 6) for _, [share] in drawn} == {round(1 / 12, 6)}
    read = sum(SPACE.values(path)[1][2] for path, _ in drawn)
    assert 70 < read < 130


def test_later_decisions_of_a_mutant_are_drawn_anew_where_they_became_illegal():
    class Rules:
        """Height 5 allows 8 filters only."""

        max_layers = 1

        def decisions(self, depth):
            return HEIGHT, Decision("filters", ("8", "16"))

        def legal(self, prefix, chosen=()):
            return (not prefix,) * 3 if not chosen else (True, chosen[0] != 2)

    space, parent = Rules(), (encode(Rules().decisions(1), (0, 1)),)
    children = {decode(space.decisions(1), mutant(space, parent, generator(seed))[0]) for seed in range(60)}
    assert children == {(1, 1), (2, 0), (0, 0)}


def test_the_pointer_is_zoph_and_les_formula():
    pointer = Pointer(2)
    with torch.no_grad():
        pointer.before.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        pointer.here.weight.copy_(torch.tensor([[0.5, 0.0], [0.0, 1.0]]))
        pointer.weight.weight.copy_(torch.tensor([[1.0, -1.0]]))
    state, here = torch.tensor([[0.3, 0.1]]), torch.tensor([[0.2, 0.4]])
    with torch.no_grad():
        [[none, layer]] = pointer.scores([state], (0, 1), here).tolist()
        several = pointer.all_scores(state.unsqueeze(1), [(0, 1)], here.unsqueeze(1))
        cell = pointer.all_scores(state.unsqueeze(1), [(-1, 0, 1)], here.unsqueeze(1))
    # v . tanh(W_prev h_j + W_curr h); the state of the image is zero.
    assert none == pytest.approx(math.tanh(0.1) - math.tanh(0.4), abs=1e-6)
    assert layer == pytest.approx(math.tanh(0.3 + 0.1) - math.tanh(0.2 + 0.4), abs=1e-6)
    assert several[0, 0].tolist() == pytest.approx([none, layer], abs=1e-6)
    # So is that of both inputs of a cell.
    assert cell[0, 0].tolist() == pytest.approx([none, none, layer], abs=1e-6)


def test_what_was_pointed_at_is_read_as_its_mean(controller):
    """Rows: heights 0 to 2, start 3, above 4, inputs 5, the image 6, then distances from 1."""
    row = controller.embedding.weight.detach()
    steps = {s.decision.name: s for s in controller._words.steps(4) if s.depth == 4}
    # Of layers 1 and 3, at distances 3 and 1; of none; `above` is layer 1, or the image.
    read = controller._token(steps["inputs"], [0b101, 0b100, 0]).detach()
    torch.testing.assert_close(read, torch.stack([row[5] + (row[9] + row[7]) / 2, row[5] + row[7], row[5]]))
    above = controller._token(steps["above"], [1, 0, 3]).detach()
    torch.testing.assert_close(above, torch.stack([row[4] + row[9], row[4] + row[6], row[4] + row[7]]))
    assert controller._token(steps["height"], [2]).tolist() == row[2:3].tolist()


def test_random_paths_are_uniform_over_the_options_of_each_decision():
    paths = [random_path(SPACE, 2, generator(seed)) for seed in range(600)]
    two = [p for p in paths if len(p.path) == 2]
    assert len(two) == 600
    seconds = [SPACE.values(p.path)[1] for p in two]
    for place, size in ((0, 3), (1, 2), (2, 2)):
        counts = [sum(values[place] == value for values in seconds) for value in range(size)]
        assert all(abs(count - 600 / size) < 60 for count in counts), counts
    assert {round(p.behaviour[1], 6) for p in two} == {round(1 / 12, 6)}
    assert {p.behaviour[0] for p in two} == {0.5}


def test_a_mutant_differs_in_one_decision_and_only_behind_it_if_it_must():
    parent = tuple(encode(SPACE.decisions(depth), values) for depth, values in enumerate(
        ((0, 0, 0), (1, 1, 1), (0, 2, 0b01), (1, 0, 0b101)), start=1
    ))  # fmt: skip
    seen = set()
    for seed in range(300):
        child = mutant(SPACE, parent, generator(seed))
        before, after = SPACE.values(parent), SPACE.values(child)
        changed = [(t, k) for t, k in product(range(len(child)), range(3)) if before[t][k] != after[t][k]]
        if len(child) == 4:
            assert len(changed) == 1
        else:
            # Only height 5 ends a path.
            assert after[-1][0] == STOP
            assert len(changed) == 1
        seen.update(changed)
        if changed[0][1] == 2:
            t = changed[0][0]
            flipped = before[t][2] ^ after[t][2]
            assert flipped in (0b001, 0b100)
    # Every decision that has another option: not `above` of layer 1, which may only be the image.
    assert seen == {(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)}


def test_the_rows_of_the_embedding_do_not_depend_on_the_limit():
    class Deeper(Skips):
        max_layers = 9

    shallow, deep = (
        Controller(space, ControllerOptions(hidden_size=4), generator=generator()) for space in (SPACE, Deeper())
    )
    assert {n: w.shape for n, w in shallow.state_dict().items()} == {n: w.shape for n, w in deep.state_dict().items()}
