"""Options of a search as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

from os import PathLike
from typing import Literal

from replaytree.config.strategy_keywords import StrategyKeywords


class SearchKeywords(StrategyKeywords, total=False):
    """What Search takes beside its own parameters."""

    seed: int
    """Seed of all random choices."""

    dataset: str | PathLike[str] | None
    """digits, mnist, fashion-mnist, cifar10, cifar100, svhn, ptb; a folder with train/<class>/<image> or train.txt,
    valid.txt and test.txt; arrays, data.npz or train_x.npy; or a table of file and label, labels.csv."""

    task: Literal["images", "text"] | None
    """images are classified; text is modelled word by word."""

    data_dir: str | PathLike[str] | None
    """Folder of the named data sets; missing ones are downloaded to it. Or where pictures of one's own were moved
    to."""

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
    """Depth bound at the start, in layers; where it is not given, at most --max-layers."""

    max_layers: int
    """Depth bound at the end, in layers; where it is not given, at least --min-layers, and in differentiable
    searches of cells that of the published ones."""

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

    fuse: bool | None
    """On a GPU: fuse batch norm, ReLU, additions and pooling in kernels of Triton."""

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
