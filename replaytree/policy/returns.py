"""Returns, the baseline and importance weights, as pure functions.

Shapes: T steps of one path, at least one; D depths of a baseline, at least T. Rewards R_t are validation accuracies of
the prefixes, fractions in [0, 1]. Where a failure left no accuracy, the caller gives 0.

Every function raises ValueError for an array of another rank, length or kind of number, and for one with a number that
is not finite, before it computes: NumPy would broadcast a wrong length and round in whole numbers without a word, and a
single NaN would spread to every weight of the controller.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from replaytree.config.strategies.replay import ReturnKind

Array = npt.NDArray[np.float64]


def cumulative(rewards_T: Array, gamma: float) -> Array:
    """G_t = R_t + gamma G_(t-1), G_0 = 0: what the path has earned so far (Xu, poster, step 4)."""
    _require_steps("rewards", rewards_T)
    returns_T = np.empty_like(rewards_T)
    total = 0.0
    for t, reward in enumerate(rewards_T):
        total = reward + gamma * total
        returns_T[t] = total
    return returns_T


def reward_to_go(rewards_T: Array, gamma: float) -> Array:
    """G_t = R_t + gamma G_(t+1), G_(T+1) = 0 (Sutton and Barto, 2nd ed., equation 3.9)."""
    _require_steps("rewards", rewards_T)
    return cumulative(rewards_T[::-1], gamma)[::-1]


def best_reached(rewards_T: Array, gamma: float) -> Array:
    """G_t = max(R_t, ..., R_T): the best prefix that the step led to. gamma plays no part."""
    _require_steps("rewards", rewards_T)
    return np.maximum.accumulate(rewards_T[::-1])[::-1]


def marginal_gain(rewards_T: Array, gamma: float) -> Array:
    """G_t = R_t - R_(t-1), R_0 = 0: what the layer added to the prefix before it. gamma plays no part."""
    _require_steps("rewards", rewards_T)
    return np.diff(rewards_T, prepend=0.0)


def final(rewards_T: Array, gamma: float) -> Array:
    """G_t = R_T: only the whole path counts (Zoph and Le, 2017, section 3.2). gamma plays no part."""
    _require_steps("rewards", rewards_T)
    return np.full_like(rewards_T, rewards_T[-1])


RETURNS: dict[ReturnKind, Callable[[Array, float], Array]] = {
    "cumulative": cumulative,
    "reward-to-go": reward_to_go,
    "best-reached": best_reached,
    "marginal-gain": marginal_gain,
    "final": final,
}


def average_baseline(returns_T: Array, mean_D: Array, count_D: Array) -> Array:
    """b_t of the advantages G_t - b_t: the average of what earlier paths got at depth t.

    `mean_D` holds that average and `count_D` the number of paths in it. At a depth that no path has reached there is
    nothing to compare with: b_t is G_t, and the advantage is 0.
    """
    _require_baseline(returns_T, mean_D, count_D)
    T = len(returns_T)
    return np.where(count_D[:T] > 0, mean_D[:T], returns_T)


def averaged(returns_T: Array, mean_D: Array, count_D: Array, *, decay: float | None = None) -> tuple[Array, Array]:
    """The baseline after one more path, at each depth: b <- b + w (G - b). The arrays given stay as they are.

    w = 1/n makes it the iterative average (Sutton and Barto, 2.3). With `decay`, w is at least 1 - decay, and b becomes
    the exponential average (Zoph and Le, 2017, section 3.2).
    """
    _require_baseline(returns_T, mean_D, count_D)
    T = len(returns_T)
    count_D, mean_D = count_D.copy(), mean_D.copy()
    count_D[:T] += 1
    weight_T = 1.0 / count_D[:T] if decay is None else np.maximum(1.0 / count_D[:T], 1.0 - decay)
    mean_D[:T] += (returns_T - mean_D[:T]) * weight_T
    return mean_D, count_D


def importance_weights(pi_T: Array, mu_T: Array, rho_bar: float) -> Array:
    """rho_t = min(rho_bar, pi(a_t | a_<t) / mu(a_t | a_<t)) (V-trace; Espeholt et al., 2018, section 4.1).

    `pi_T` and `mu_T` are as long as one another. Raises ValueError also where mu is not over 0: a source cannot have
    chosen what it never chooses.
    """
    _require_steps("policy probabilities", pi_T)
    _require_steps("behaviour probabilities", mu_T)
    if len(pi_T) != len(mu_T):
        raise ValueError(f"there are {len(mu_T)} behaviour probabilities for {len(pi_T)} steps; give one a step")
    if not np.all(mu_T > 0.0):
        raise ValueError(f"behaviour probabilities must be positive, got {mu_T.min()}")
    if not np.all(pi_T >= 0.0):
        raise ValueError(f"policy probabilities must not be negative, got {pi_T.min()}")
    if not rho_bar > 0.0:
        raise ValueError(f"rho_bar is {rho_bar}; it must be over 0")
    return np.minimum(rho_bar, pi_T / mu_T)


def _require_steps(name: str, values_T: Array) -> None:
    if not isinstance(values_T, np.ndarray):
        raise ValueError(f"{name} are a {type(values_T).__name__}; give a NumPy array")
    if values_T.ndim != 1 or not len(values_T):
        raise ValueError(f"{name} have shape {values_T.shape}; give one number a step, of at least one step")
    if not np.issubdtype(values_T.dtype, np.floating):
        raise ValueError(f"{name} are of type {values_T.dtype}; give floats")
    if not np.isfinite(values_T).all():
        raise ValueError(f"{name} hold {values_T[~np.isfinite(values_T)][0]}; give finite numbers")


def _require_baseline(returns_T: Array, mean_D: Array, count_D: Array) -> None:
    _require_steps("returns", returns_T)
    _require_steps("baseline averages", mean_D)
    _require_steps("baseline counts", count_D)
    if len(mean_D) != len(count_D) or len(mean_D) < len(returns_T):
        raise ValueError(
            f"the baseline has {len(mean_D)} averages and {len(count_D)} counts; "
            f"give as many of each, at least {len(returns_T)} for a path of {len(returns_T)} steps"
        )
