import pytest
import torch

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
    return Controller(space.num_actions, hidden_size=16, generator=torch.Generator().manual_seed(0))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_weights_start_uniform_within_008(controller):
    values = torch.cat([parameter.detach().flatten() for parameter in controller.parameters()])
    assert values.abs().max() <= 0.08
    assert values.std() == pytest.approx(0.08 / 3**0.5, rel=0.05)


def test_samples_are_legal_and_reach_the_depth_bound(controller, space):
    for path, probs in controller.sample(space, [()] * 50, depth_bound=4, generator=generator()):
        assert len(path) == len(probs) == 4
        for t, action in enumerate(path):
            assert space.legal(path[:t])[action]


def test_a_sampled_probability_is_the_scored_one(controller, space):
    sampled = controller.sample(space, [(), (1,), (0, 2)], depth_bound=5, generator=generator())
    scored = controller.score(space, [path for path, _ in sampled])
    for b, (path, probs) in enumerate(sampled):
        logp_T = scored.log_probs_BT[b, len(path) - len(probs) : len(path)]
        torch.testing.assert_close(logp_T.exp(), torch.tensor(probs))


def test_prefixes_are_kept(controller, space):
    sampled = controller.sample(space, [(1, 2), ()], depth_bound=3, generator=generator())
    assert sampled[0][0][:2] == (1, 2)
    assert len(sampled[0][1]) == 1


def test_a_batch_scores_like_its_paths_one_by_one(controller, space):
    paths = [(1,), (0, 1, 2, 2), (1, 1)]
    batch = controller.score(space, paths)
    for b, path in enumerate(paths):
        single = controller.score(space, [path])
        torch.testing.assert_close(batch.log_probs_BT[b, : len(path)], single.log_probs_BT[0])
        torch.testing.assert_close(batch.entropy_BT[b, : len(path)], single.entropy_BT[0])
        assert not batch.log_probs_BT[b, len(path) :].any()


def test_illegal_actions_take_no_probability(controller, space):
    # After () two actions are legal, after (0,) two: their probabilities add up to 1.
    first = controller.score(space, [(0,), (1,)]).log_probs_BT.exp().sum()
    second = controller.score(space, [(0, 1), (0, 2)]).log_probs_BT[:, 1].exp().sum()
    torch.testing.assert_close(torch.stack([first, second]), torch.ones(2))


def test_entropy_and_its_gradient_are_finite_behind_the_mask(controller, space):
    scored = controller.score(space, [(0, 1), (1, 2)])
    assert 0 < scored.entropy_BT.min() <= scored.entropy_BT.max() <= torch.tensor(3.0).log()
    scored.entropy_BT.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in controller.parameters())


def test_the_same_generator_gives_the_same_paths(controller, space):
    first, again = (controller.sample(space, [()] * 8, depth_bound=5, generator=generator(7)) for _ in range(2))
    assert first == again


def test_no_prefixes_no_paths(controller, space):
    assert controller.sample(space, [], depth_bound=5, generator=generator()) == []
