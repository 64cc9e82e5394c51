"""The options of a search as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

from os import PathLike
from typing import Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """What Search takes beside its own parameters."""

    seed: int
    """Seed of all random choices."""

    dataset: str | PathLike[str] | None
    """digits, mnist, fashion-mnist, cifar10, cifar100, svhn, ptb; a folder with train/<class>/<image> or train.txt,
    valid.txt and test.txt; arrays, data.npz or train_x.npy; or a table of file and label, labels.csv."""

    task: Literal["images", "text"] | None
    """images are classified; text is modelled word by word."""

    data_dir: str | PathLike[str] | None
    """Folder of the named data sets; missing ones are downloaded to it."""

    image_size: int | str | tuple[int, int] | None
    """Resize images to this many pixels square, or to rows x columns, as in 24x64."""

    resize: Literal["squash", "pad", "crop"]
    """How pictures of another shape get that size: squash stretches them, pad adds black, crop cuts to the
    middle."""

    channel_axis: Literal["first", "last"] | None
    """Where the arrays of a .npz or .npy file have their channels."""

    train_limit: int | None
    """Train on a stratified part of this many images, or on the first words of a text."""

    val_fraction: float
    """Share of train kept for validation."""

    skip_bad: bool
    """Leave out images that cannot be read."""

    min_count: int
    """Text: words that train has fewer times become <unk>."""

    width: float | None
    """Factor on all channel numbers, of spaces that have it."""

    strides: bool | None
    """Layers choose their stride, too, in spaces that have this."""

    two_dimensional: bool | None
    """Convolutions see the image in two dimensions; with --no-two-dimensional, as a column. In spaces that have
    it."""

    channels: int | None
    """Channels of every map, in spaces that have this; where cells halve the maps, of those before."""

    cells: int | None
    """Cells of a network, in spaces of cells: all of them in darts and enas-micro, the normal ones in nasnet."""

    concat: str | None
    """Maps that whole cells of nasnet concatenate, as in 1+3+4+6/2+3+4+5+6; loose: those that no node reads."""

    final: bool | None
    """Search networks in the form that they are delivered in, where a space has two."""

    hidden: int | None
    """Numbers of the state of a recurrent cell."""

    embedding: int | None
    """Numbers of the vector of a word, in spaces of recurrent cells."""

    base: int | None
    """Leaves of the tree of nas-rnn: 2, 4, 8 or more."""

    bias: bool | None
    """Recurrent cells have biases, in spaces that have this option."""

    ends: str | None
    """What a recurrent cell gives, in spaces that have this: the mean of the nodes that no node reads (loose), or
    of all."""

    min_layers: int
    """Depth bound at the start, in layers."""

    max_layers: int
    """Depth bound at the end, in layers."""

    max_params: int | None
    """Only networks of at most this many parameters, as in 100k."""

    max_flops: int | None
    """Only networks of at most this many FLOPs (multiply-adds an image, or a word), as in 5M."""

    max_ram: int | None
    """Only networks that need at most this many bytes of RAM for their maps, with 8 bits a number, as in 64k."""

    max_flash: int | None
    """Only networks of at most this many bytes of weights, with 8 bits a weight and 32 a bias, as in 128k."""

    latency_table: str | PathLike[str] | None
    """How long every layer takes: a CSV of `replaytree latency-table`, or one of a board with the same columns."""

    max_latency: float | str | None
    """Only networks whose layers take at most this long by the table, as in 2ms."""

    grow_every: int | None
    """Raise the depth bound every N episodes, or 'auto': when it stops improving."""

    grow_by: int
    """Layers by which the depth bound rises."""

    grow_patience: int
    """With --grow-every auto: trainings without a new best before the bound rises."""

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
    """guided, replay: learn first from a supernet, trained for so many passes on random paths."""

    num_paths: int
    """Episodes a turn, sampled and learned from together."""

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
    (RobustDARTS); skips, where the normal cell has two or more (DARTS+); both from epoch 10 on."""

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

    epochs_first: int
    """Epochs a training; rises with the depth bound."""

    epochs_last: int
    """Epochs at the end."""

    prune: bool
    """Stop a path half-way if it is worse than half of the earlier paths."""

    batch_size: int | None
    """Images a training step; of a text, the columns that it is read in side by side."""

    learning_rate: float | None
    """Peak of the one-cycle schedule; on text the rate is constant."""

    momentum: float
    """Nesterov momentum."""

    weight_decay: float
    """Weight decay of the trained networks."""

    label_smoothing: float
    """Label smoothing of the training loss."""

    class_weights: Literal["balanced"] | None
    """balanced: the loss of a rare class counts like that of a frequent one."""

    crop_padding: int | None
    """Random crop after padding by this many pixels."""

    flip: bool | None
    """Random horizontal flip."""

    bptt: int
    """Text: words that a step reads in each of its columns; gradients end there, and the state goes on."""

    text_clip: float | None
    """Text: the longest gradient; longer ones are shortened to it; or 'none'."""

    text_weight_decay: float
    """Text: weight decay."""

    nonmono: int
    """Text: weights are averaged from the epoch on that is worse in validation than one more than N epochs
    before."""

    embedding_dropout: float
    """Text: dropout of whole words."""

    input_dropout: float
    """Text: dropout of what the cell reads."""

    hidden_dropout: float
    """Text: dropout of the states that the cell multiplies."""

    output_dropout: float
    """Text: dropout of what the decoder reads."""

    weights: Literal["fresh", "shared", "inherited"]
    """fresh: each training starts anew; shared: a supernet has the weights of all paths; inherited: a training
    starts from the weights of its longest prefix that were kept."""

    passes: float
    """With shared weights: passes over the training images a turn, before its paths are scored."""

    score_images: int | None
    """With shared weights: validation images that score a path, others each turn; of a text, words in a row."""

    restart_passes: float | None
    """With shared weights: the rate falls as a cosine, and begins anew after this many passes."""

    restart_factor: float
    """With --restart-passes: each fall takes this many times as long as the one before."""

    lowest_rate: float
    """With --restart-passes: the learning rate at the end of a fall."""

    supernet_clip: float | None
    """With shared weights: the longest gradient of a path; longer ones are shortened to it; or 'none'."""

    keep_weights: int
    """With inherited weights: how many prefixes' weights are kept, those of the best."""

    inherited_epochs: float
    """With inherited weights: share of its epochs that a training spends which starts from kept ones."""

    device: str
    """auto, cpu, cuda, cuda:1, mps."""

    threads: int | None
    """Threads of a training; OMP_NUM_THREADS also sets it."""

    capture: bool | None
    """On a GPU: capture each training step in a CUDA graph."""

    state_dir: str | PathLike[str] | None
    """Where the weights of a supernet are kept: a folder of its own for a database."""

    reward: Literal["accuracy", "balanced", "macro-f1"]
    """accuracy; balanced: the mean of the classes' accuracies; macro-f1: the mean of their F1."""

    reward_power: float
    """The strategy is rewarded with accuracy to this power; 3 in Zoph and Le."""

    reward_epochs: int
    """A path is rewarded with its best accuracy after any of its last N epochs; the last is stored."""

    target_params: int | None
    """Above it, the reward is accuracy * (parameters / target)^w."""

    target_flops: int | None
    """Above it, the reward is accuracy * (FLOPs / target)^w."""

    target_latency: float | str | None
    """Above it, the reward is accuracy * (latency by --latency-table / target)^w; as in 2ms."""

    cost_weight: float
    """The exponent w of the targets."""


class ConfigKeywords(SearchKeywords, total=False):
    """What SearchConfig takes: also what is a parameter of Search, which may be an object there."""

    space: str | None
    """The layers to choose from; `replaytree spaces` lists what there is."""

    evaluator: Literal["joint", "separate", "whole"] | None
    """joint: one training scores all prefixes; separate: one training a prefix; whole: one of the whole path
    alone."""


class RetrainKeywords(TypedDict, total=False):
    """What best_model takes beside its own parameters."""

    batch_size: int | None
    """Images a training step."""

    learning_rate: float | None
    """Peak of the schedule."""

    schedule: Literal["one-cycle", "cosine", "constant"]
    """one-cycle: up and down in straight lines; cosine: down from the peak; constant."""

    lowest_rate: float
    """cosine: where the learning rate ends."""

    restart_epochs: int | None
    """cosine: epochs until the rate begins at its peak again."""

    restart_factor: float
    """cosine: how much longer each cycle is than the one before."""

    momentum: float
    """Momentum."""

    nesterov: bool
    """Nesterov momentum."""

    grad_clip: float | None
    """Longest gradient."""

    weight_decay: float
    """Weight decay."""

    label_smoothing: float
    """Label smoothing of the training loss."""

    class_weights: Literal["balanced"] | None
    """balanced: the loss of a rare class counts like that of a frequent one."""

    crop_padding: int | None
    """Random crop after padding by this many pixels."""

    flip: bool | None
    """Also train on mirror images."""

    cutout: int | None
    """Side of the square that is blanked, in pixels."""

    average_share: float
    """Average the weights over this last share of the steps."""

    drop_path: float
    """Drop parts of cells for each image at a rate that rises to this."""

    auxiliary_weight: float
    """Weight of the loss of a second classifier inside the network, where its space has one."""
