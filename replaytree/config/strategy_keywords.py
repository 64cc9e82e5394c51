"""Options of strategies as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

from typing import Literal, TypedDict


class StrategyKeywords(TypedDict, total=False):
    """What says how a strategy searches."""

    strategy: Literal[
        "darts",
        "evolution",
        "gdas",
        "guided",
        "pc-darts",
        "puct",
        "q-learning",
        "random",
        "reinforce",
        "replay",
    ]
    """How paths are chosen: darts, evolution, gdas, guided, pc-darts, puct, q-learning, random, reinforce,
    replay."""

    warm_start: str | None
    """guided, replay: learn first from this search; same layers, any images."""

    prior: str | None
    """guided, replay: learn first from a supernet, trained for so many passes on random paths, e.g. shared:96; of
    deep chains a supernet knows little."""

    num_paths: int
    """Episodes a turn, sampled and learned from together."""

    ahead: int | None
    """Turns proposed before the results of the first of them are known, so that a GPU can train them at once."""

    alpha_order: int
    """darts: order of the numbers' gradient; 2 looks one step of the weights ahead, at about three times the
    cost."""

    search_epochs: int | None
    """darts, pc-darts, gdas: epochs in which rates and temperatures fall; an epoch is a training."""

    alpha_rate: float | None
    """darts, pc-darts, gdas: learning rate of Adam on the numbers."""

    alpha_decay: float
    """darts, pc-darts, gdas: weight decay of the numbers."""

    final_rate: float | None
    """darts, pc-darts, gdas: what the learning rate of the weights falls to, as a cosine."""

    frozen: float | None
    """darts, pc-darts, gdas: share of the epochs, from the first, in which only weights are trained."""

    stop_early: Literal["eigenvalue", "skips"] | None
    """darts, pc-darts, gdas: end a search that collapses: eigenvalue, where that of the Hessian rises
    (RobustDARTS); skips, where the normal cell has two or more (DARTS+); both from epoch 11 on."""

    derive: Literal["largest", "perturbation"]
    """darts, pc-darts: largest, the largest weight; perturbation: after the epochs, one more training for each
    choice keeps what validation misses most (DARTS+PT)."""

    tuning_epochs: int
    """With --derive perturbation: epochs of weights after each choice."""

    population: int
    """evolution: paths kept in the population."""

    tournament: int
    """evolution: paths that compete to be a parent."""

    removal: Literal["oldest", "worst"]
    """evolution: who leaves when a child joins: oldest; worst, of another --tournament."""

    mutation: Literal["decision", "amoebanet"]
    """evolution: what a child differs in: decision, any; amoebanet, as often an input as a choice."""

    identity: float | None
    """evolution: probability that a child is its parent, which is trained again."""

    tau_first: float
    """gdas: temperature of the draws; falls in a straight line."""

    tau_last: float
    """gdas: temperature at the end."""

    warmup: int
    """guided: trainings before the value model chooses."""

    candidates: int
    """guided: paths ranked before one is trained."""

    mutants: float
    """guided: share of the candidates that are mutants of good paths."""

    exploration: float
    """puct, guided: weight of the uncertainty."""

    channel_parts: int
    """pc-darts: operations see the first of so many equal parts of the channels."""

    rho_bar: float
    """replay: truncation of importance weights."""

    baseline_decay: float | None
    """replay, reinforce, puct: decay of the baseline's moving average."""

    entropy: float
    """replay, reinforce, puct: weight of the entropy bonus."""

    entropy_in: Literal["loss", "reward", "drawn"]
    """replay, reinforce, puct: where it is added: loss; reward, as a number; drawn, there, -p log p of what was
    drawn."""

    baseline_first: bool
    """replay, reinforce, puct: the baseline takes in a return before it is compared with it."""

    skip_weight: float
    """replay, reinforce, puct: weight of the KL divergence of skips from --skip-target."""

    skip_target: float
    """replay, reinforce, puct: probability that each skip is to have."""

    hidden_size: int
    """Hidden units of the LSTM controller."""

    controller_layers: int
    """Layers of the LSTM controller."""

    policy_learning_rate: float
    """Learning rate of the controller's Adam optimizer."""

    grad_clip: float
    """Largest gradient norm of the controller."""

    adam_beta: float
    """Decay of the mean gradient in the controller's Adam; ENAS: 0."""

    adam_epsilon: float
    """Epsilon of the controller's Adam; ENAS: 1e-3."""

    init_range: float
    """The controller's weights start uniform in +- this; ENAS: 0.1."""

    softmax_temperature: float
    """The controller's scores are divided by this before the softmax."""

    tanh_constant: float | None
    """c of c tanh(score), which bounds the controller's scores."""

    op_tanh_reduce: float
    """The tanh constant of choices is this many times smaller than that of inputs."""

    separable_bias: float
    """Bias that options named sep... start with, before the tanh; ENAS: 10."""

    cell_bias: float
    """Fixed bias in normal cells: added to options named sep..., taken off the others; ENAS: 0.25."""

    q_trainings: int | None
    """q-learning: trainings in which exploration falls from 1 to 0.1."""

    q_rate: float
    """q-learning: share of its error that a value is corrected by."""

    q_replays: int
    """q-learning: stored paths replayed after a training."""

    return_kind: Literal["cumulative", "reward-to-go", "best-reached", "marginal-gain", "final"]
    """replay: what a step is credited with: cumulative, reward-to-go, best-reached, marginal-gain, final."""

    gamma: float
    """replay: discount in G_t = R_t + gamma G_(t-1)."""

    temperature: float
    """replay: temperature of the softmax over average accuracy that draws from the tree."""

    replay: float
    """replay: probability that an episode is replayed from the tree."""

    continue_: float
    """replay: probability that an episode continues a prefix of the tree."""

    baseline: Literal["depth", "parent"]
    """replay: what a return is compared with: depth (earlier paths), parent (its prefix)."""
