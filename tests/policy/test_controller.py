import math

import pytest
import torch

from replaytree.config.controller import ControllerOptions
from replaytree.policy import Controller
from replaytree.space import LabelSpace


@pytest.fixture
def space():
    # Action 2 may never come first; after action 0 only 1 and 2 may come.
    def legal(prefix):
        return (not prefix or prefix[-1] != 0, True, bool(prefix))

    return LabelSpace(["a", "b", "c"], max_layers=5, legal=legal)


@pytest.fixture
def controller(space):
    return Controller(space, ControllerOptions(hidden_size=16), generator=torch.Generator().manual_seed(0))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_weights_start_uniform_within_008(controller):
    values = torch.cat([parameter.detach().flatten() for parameter in controller.parameters()])
    assert values.abs().max() <= 0.08
    assert values.std() == pytest.approx(0.08 / 3**0.5, rel=0.05)


def test_samples_are_legal_and_reach_the_depth_bound(controller, space):
    for path, probs in controller.sample([()] * 50, depth_bound=4, generator=generator()):
        assert len(path) == len(probs) == 4
        for t, action in enumerate(path):
            assert space.legal(path[:t])[action]


def test_a_sampled_probability_is_the_scored_one(controller, space):
    sampled = controller.sample([(), (1,), (0, 2)], depth_bound=5, generator=generator())
    scored = controller.score([path for path, _ in sampled])
    for b, (path, probs) in enumerate(sampled):
        logp_T = scored.log_probs_BT[b, len(path) - len(probs) : len(path)]
        torch.testing.assert_close(logp_T.exp(), torch.tensor(probs))


def test_prefixes_are_kept(controller, space):
    sampled = controller.sample([(1, 2), ()], depth_bound=3, generator=generator())
    assert sampled[0][0][:2] == (1, 2)
    assert len(sampled[0][1]) == 1


def test_a_batch_scores_like_its_paths_one_by_one(controller, space):
    paths = [(1,), (0, 1, 2, 2), (1, 1)]
    batch = controller.score(paths)
    for b, path in enumerate(paths):
        single = controller.score([path])
        torch.testing.assert_close(batch.log_probs_BT[b, : len(path)], single.log_probs_BT[0])
        torch.testing.assert_close(batch.entropy_BT[b, : len(path)], single.entropy_BT[0])
        assert not batch.log_probs_BT[b, len(path) :].any()


def test_illegal_actions_take_no_probability(controller, space):
    # After () two actions are legal, after (0,) two: their probabilities add up to 1.
    first = controller.score([(0,), (1,)]).log_probs_BT.exp().sum()
    second = controller.score([(0, 1), (0, 2)]).log_probs_BT[:, 1].exp().sum()
    torch.testing.assert_close(torch.stack([first, second]), torch.ones(2))


def test_entropy_and_its_gradient_are_finite_behind_the_mask(controller, space):
    scored = controller.score([(0, 1), (1, 2)])
    assert 0 < scored.entropy_BT.min() <= scored.entropy_BT.max() <= torch.tensor(3.0).log()
    scored.entropy_BT.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in controller.parameters())


def test_the_same_generator_gives_the_same_paths(controller, space):
    first, again = (controller.sample([()] * 8, depth_bound=5, generator=generator(7)) for _ in range(2))
    assert first == again


def peaked(controller, biases):
    """pi is softmax(biases) over the legal actions everywhere."""
    with torch.no_grad():
        for weights in controller.parameters():
            weights.zero_()
        controller.logits["layer"].bias.copy_(torch.tensor(biases).log())
    return controller


def test_a_share_of_every_step_may_be_uniform_over_what_is_legal(controller, space):
    # First a and b are legal, with 3/4 and 1/4; after b all three, with 3/5, 1/5 and 1/5.
    peaked(controller, [3.0, 1.0, 1.0])
    sampled = controller.sample([()] * 400, depth_bound=2, generator=generator(), uniform=0.2)
    first = {path[0]: probs[0] for path, probs in sampled}
    assert first == pytest.approx({0: 0.8 * 0.75 + 0.2 * 0.5, 1: 0.8 * 0.25 + 0.2 * 0.5})
    second = {path[1]: probs[1] for path, probs in sampled if path[0] == 1}
    assert second == pytest.approx({0: 0.8 * 0.6 + 0.2 / 3, 1: 0.8 * 0.2 + 0.2 / 3, 2: 0.8 * 0.2 + 0.2 / 3})
    assert sum(path[0] == 1 for path, _ in sampled) / 400 == pytest.approx(0.3, abs=0.07)


def test_the_next_probabilities_are_the_scored_ones(controller, space):
    for prefix in ((), (1,), (1, 2), (0, 2, 1)):
        probs = controller.next_probabilities(prefix)
        for action, legal in enumerate(space.legal(prefix)):
            scored = controller.score([(*prefix, action)]).log_probs_BT[0, -1].detach().exp() if legal else 0.0
            assert probs[action] == pytest.approx(float(scored), abs=1e-6)


def test_what_comes_next_depends_on_the_whole_prefix(controller, space):
    assert controller.next_probabilities((1, 1)) != controller.next_probabilities((0, 1))
    assert controller.next_probabilities((1, 2)) != controller.next_probabilities((1, 1))


def test_log_probabilities_and_entropies_by_hand_are_0_behind_the_end(controller, space):
    scored = peaked(controller, [3.0, 1.0, 1.0]).score([(0,), (1, 0)])
    log = math.log
    expected = torch.tensor([[log(0.75), 0.0], [log(0.25), log(0.6)]])
    torch.testing.assert_close(scored.log_probs_BT, expected)
    first = -(0.75 * log(0.75) + 0.25 * log(0.25))
    second = -(0.6 * log(0.6) + 0.4 * log(0.2))
    torch.testing.assert_close(scored.entropy_BT, torch.tensor([[first, 0.0], [first, second]]))
    assert scored.lengths_B.tolist() == [1, 2]


def test_no_prefixes_no_paths(controller, space):
    assert controller.sample([], depth_bound=5, generator=generator()) == []


def test_a_controller_of_two_layers_samples_as_it_scores(space):
    deep = Controller(space, ControllerOptions(hidden_size=8, controller_layers=2), generator=generator(0))
    assert deep.lstm.num_layers == 2
    with torch.no_grad():
        for weights in deep.parameters():
            weights.mul_(20)
    sampled = deep.sample([(), (1,), (0, 2)] * 4, depth_bound=5, generator=generator())
    scored = deep.score([path for path, _ in sampled])
    for b, (path, probs) in enumerate(sampled):
        logp_T = scored.log_probs_BT[b, len(path) - len(probs) : len(path)]
        torch.testing.assert_close(logp_T.exp(), torch.tensor(probs))
    # The second layer is used: without it the probabilities are others.
    with torch.no_grad():
        deep.lstm.weight_hh_l1.zero_()
    assert not torch.allclose(deep.score([(1, 1, 2)]).log_probs_BT, scored.log_probs_BT[:1, :3])
    assert (deep.score([(1, 1, 2)]).log_probs_BT != 0).all()
