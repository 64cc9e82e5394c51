"""The gradient of REINFORCE, and the ways in which ENAS has it otherwise: worked out on toys."""

import itertools
import math

import numpy as np
import pytest
import torch

from replaytree.config.option import made
from replaytree.config.strategies.reinforce import ReinforceOptions
from replaytree.errors import ConfigError
from replaytree.policy import ReplayMemory
from replaytree.policy.replay import reinforce
from replaytree.records import PathEvaluation, Proposal
from replaytree.space import LabelSpace
from replaytree.space.catalogue import named_space

TOY = LabelSpace(["a", "b", "c"], max_layers=2)
PATHS = list(itertools.product(range(3), repeat=2))
REWARDS = dict(zip(PATHS, (0.9, 0.1, 0.3, 0.5, 0.8, 0.2, 0.4, 0.6, 0.7), strict=True))


def strategy(space=TOY, seed=0, **options):
    plain = {"entropy": 0.0, "grad_clip": 1e9, "hidden_size": 4, "init_range": 1.0}
    return reinforce(space, made(ReinforceOptions, plain | options), seed=seed)


def gradients(strategy):
    """The gradient of the last update, as one vector."""
    return torch.cat([parameter.grad.flatten() for parameter in strategy._controller.parameters()]).double()


def observed(strategy, paths, rewards):
    """One update on these paths, as the policy samples them."""
    with torch.no_grad():
        shares = strategy._controller.score(paths).log_probs_BT.exp()
    proposals = [
        Proposal(path, "sample", tuple(row[: len(path)].tolist())) for path, row in zip(paths, shares, strict=True)
    ]
    evaluations = [PathEvaluation([reward] * len(path)) for path, reward in zip(paths, rewards, strict=True)]
    return strategy.observe(ReplayMemory(), proposals, evaluations)


def jacobian(strategy, paths):
    """Of each path log pi, and its gradient."""
    logs = strategy._controller.score(paths).log_probs_BT.sum(dim=1)
    rows = []
    for log in logs:
        found = torch.autograd.grad(log, list(strategy._controller.parameters()), retain_graph=True)
        rows.append(torch.cat([each.flatten() for each in found]))
    return logs.detach().double(), torch.stack(rows).double()


def with_baseline(strategy, value, count=1e9):
    """A baseline that one batch does not move."""
    strategy._mean_D[:], strategy._count_D[:] = value, count
    return strategy


def test_the_gradient_of_samples_is_the_exact_gradient_within_their_error():
    # J = sum over the 9 paths of p(path) R(path), so that the update descends on -J.
    untrained = strategy()
    logs, rows = jacobian(untrained, PATHS)
    p = logs.exp()
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-6)
    rewards = torch.tensor([REWARDS[path] for path in PATHS]).double()
    exact = -(p * rewards) @ rows
    # By torch alone: the gradient of -J, with no use of log pi.
    value = -(untrained._controller.score(PATHS).log_probs_BT.sum(dim=1).exp() * rewards.float()).sum()
    value.backward()
    torch.testing.assert_close(gradients(untrained), exact, atol=1e-6, rtol=1e-4)

    N = 20_000
    numbers = torch.multinomial(p, N, replacement=True, generator=torch.Generator().manual_seed(1)).tolist()
    for constant in (0.0, 0.5, 2.0):
        sampled = with_baseline(strategy(baseline_decay=1.0), constant)
        observed(sampled, [PATHS[n] for n in numbers], [REWARDS[PATHS[n]] for n in numbers])
        # A constant baseline changes the variance alone.
        per_path = -(rewards - constant).unsqueeze(1) * rows
        error = ((p @ per_path**2 - exact**2) / N).clamp(min=0.0).sqrt()
        deviations = (gradients(sampled) - exact).abs() / (error + 1e-7)
        assert float(deviations.max()) < 4.5
        # Larger by far than what the samples would hide: a wrong sign, or one token's log pi left out.
        assert float((exact.abs() / (error + 1e-7)).max()) > 20.0 or constant == 2.0


def test_the_gradient_of_a_batch_is_the_mean_of_its_paths_gradients():
    paths, rewards = [(0, 1), (2, 2), (1, 0)], [0.9, 0.2, 0.6]
    together = with_baseline(strategy(baseline_decay=1.0), 0.5)
    observed(together, paths, rewards)
    singles = []
    for path, reward in zip(paths, rewards, strict=True):
        alone = with_baseline(strategy(baseline_decay=1.0), 0.5)
        observed(alone, [path], [reward])
        singles.append(gradients(alone))
    torch.testing.assert_close(gradients(together), torch.stack(singles).mean(dim=0), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("first", [False, True])
def test_a_baseline_that_takes_in_a_return_first_shrinks_the_advantage_by_its_decay(first):
    rows = []
    for baseline_first in (first, None):
        own = with_baseline(strategy(baseline_decay=0.95, baseline_first=bool(baseline_first)), 0.5)
        update = observed(own, [(0, 1)], [0.9])
        rows.append(update.loss)
        # Either way the baseline is then 0.5 + 0.05 * 0.4.
        assert own._mean_D.tolist() == pytest.approx([0.52, 0.52])
    assert rows[0] == pytest.approx(rows[1] * (0.95 if first else 1.0), rel=1e-5)


def test_the_first_return_is_its_own_baseline():
    own = strategy(baseline_decay=0.99, baseline_first=True)
    assert observed(own, [(0, 1)], [0.9]).loss == pytest.approx(0.0, abs=1e-7)
    # The second: w = max(1/2, 0.01), so b = 0.7 and the advantage 0.2 of a policy with p = p(a) p(b | a).
    log = float(own._controller.score([(0, 1)]).log_probs_BT.sum().detach())
    assert observed(own, [(0, 1)], [0.5]).loss == pytest.approx(-(0.5 - 0.7) * log, rel=1e-4)


@pytest.mark.parametrize("kind", ["reward", "drawn"])
def test_entropy_in_the_reward_is_a_number(kind):
    own = with_baseline(strategy(baseline_decay=1.0, entropy=0.5, entropy_in=kind), 0.5)
    scored = own._controller.score([(0, 1)])
    entropy = float((scored.entropy_BT if kind == "reward" else scored.drawn_entropy_BT).sum().detach())
    log = float(scored.log_probs_BT.sum().detach())
    loss = observed(own, [(0, 1)], [0.8]).loss
    # The reward of the whole path, 0.8, and half of the entropy of its two choices.
    assert loss == pytest.approx(-(0.8 + 0.5 * entropy - 0.5) * log, rel=1e-4)
    plain = with_baseline(strategy(baseline_decay=1.0), 0.5)
    observed(plain, [(0, 1)], [0.8])
    scale = (0.3 + 0.5 * entropy) / 0.3
    # No gradient goes through it: the gradient is the plain one, scaled.
    torch.testing.assert_close(gradients(own), gradients(plain) * scale, atol=1e-6, rtol=1e-3)


def test_entropy_in_the_loss_has_a_gradient_of_its_own():
    own, plain = (with_baseline(strategy(baseline_decay=1.0, entropy=entropy), 0.5) for entropy in (0.5, 0.0))
    for each in (own, plain):
        observed(each, [(0, 1)], [0.8])
    entropy = strategy()._controller
    (-0.5 * entropy.score([(0, 1)]).entropy_BT.sum()).backward()
    bonus = torch.cat([parameter.grad.flatten() for parameter in entropy.parameters()]).double()
    torch.testing.assert_close(gradients(own), gradients(plain) + bonus, atol=1e-6, rtol=1e-3)


def test_a_drawn_entropy_of_three_alike_options():
    own = strategy(entropy=1.0, entropy_in="drawn", baseline_decay=1.0)
    with torch.no_grad():
        for parameter in own._controller.parameters():
            parameter.zero_()
    with_baseline(own, 0.0)
    # -p log p is log(3)/3 a token; two tokens, each with log pi = -log 3.
    assert observed(own, [(2, 2)], [0.25]).loss == pytest.approx(
        (0.25 + 2 * math.log(3) / 3) * 2 * math.log(3), rel=1e-5
    )


def test_the_prior_of_skips_is_a_part_of_the_loss():
    space = named_space("enas-macro", input_shape=(1, 8, 8), num_classes=10, max_layers=3, channels=4)
    path = (0, 2, 5)
    own = with_baseline(strategy(space, baseline_decay=1.0, skip_weight=0.8, skip_target=0.3), 0.5)
    plain = with_baseline(strategy(space, baseline_decay=1.0), 0.5)
    for each in (own, plain):
        observed(each, [path, path], [0.8, 0.4])
    prior = strategy(space)._controller
    (0.8 * prior.score([path], skip_target=0.3).skip_kl_B.mean()).backward()
    zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in prior.parameters())
    bonus = torch.cat([each.flatten() for each in zeros]).double()
    assert float(bonus.abs().max()) > 1e-3
    torch.testing.assert_close(gradients(own), gradients(plain) + bonus, atol=1e-6, rtol=1e-3)


def test_skips_are_drawn_towards_their_prior():
    space = named_space("enas-macro", input_shape=(1, 8, 8), num_classes=10, max_layers=4, channels=4)
    own = strategy(space, skip_weight=1.0, skip_target=0.1, policy_learning_rate=0.02, hidden_size=8)
    for _ in range(60):
        observed(own, [(0, 0, 0, 0)], [0.5])
    drawn = own.propose(ReplayMemory(), num_paths=200, depth_bound=4, epochs=1)
    # Layers 2, 3 and 4 may take 1, 2 and 3 maps.
    taken = sum((path % 2**skips).bit_count() for each in drawn for skips, path in enumerate(each.path))
    assert taken / (200 * 6) == pytest.approx(0.1, abs=0.04)


def test_a_space_without_skips_has_no_prior():
    with pytest.raises(ConfigError, match=r"skip_weight is 0\.8, and no layer of the space takes a set of earlier"):
        strategy(skip_weight=0.8)


def test_adam_as_enas_has_it():
    # With beta1 = 0 a step is lr * g / (|g| + eps) at first: half of lr where |g| is eps.
    own = strategy(adam_beta=0.0, adam_epsilon=1e-3, policy_learning_rate=0.1)
    before = {name: p.detach().clone() for name, p in own._controller.named_parameters()}
    with_baseline(own, 0.5)
    observed(own, [(0, 1)], [0.9])
    for name, p in own._controller.named_parameters():
        step = (p.detach() - before[name]).numpy()
        g = p.grad.numpy()
        np.testing.assert_allclose(step, -0.1 * g / (np.abs(g) + 1e-3), atol=2e-5, err_msg=name)
