"""Options under one name: what a published search was run with. Single options override them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replaytree.config.option import declared
from replaytree.config.space import following_bounds
from replaytree.config.strategies import without_foreign
from replaytree.config.weights import WeightOptions
from replaytree.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Preset:
    """Values of options by name (search.py). `deviations` says what is not as published.

    `shares` are options whose values are shares of all trainings, where their number is given; `options` has the
    published values of these, too.
    """

    about: str
    options: Mapping[str, Any]
    shares: Mapping[str, float] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """What it is, and each deviation."""
        return f"{self.about} Not as published: {'; '.join(self.deviations)}."


# The controller of ENAS and how it learns, as the released program has both (github.com/melodyguan/enas).
_ENAS_CONTROLLER: Mapping[str, Any] = {
    "strategy": "reinforce",
    "hidden_size": 64,
    "init_range": 0.1,
    "adam_beta": 0.0,
    "adam_epsilon": 1e-3,
    "grad_clip": 1e9,
    "entropy": 1e-4,
    "baseline_decay": 0.99,
    "baseline_first": True,
}
_ENAS_SUPERNET: Mapping[str, Any] = {
    "weights": "shared",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "label_smoothing": 0.0,
    "restart_passes": 10.0,
    "restart_factor": 2.0,
    "lowest_rate": 5e-4,
    "supernet_clip": None,
    "final": False,
    "prune": False,
}
_FINER_PHASES = (
    "phases are finer: a turn is one step of the controller, and its paths train the supernet for that step's share of "
    "a pass, one path a minibatch, before they are scored; the program trains for a pass on other samples, then takes "
    "all steps of an epoch",
)
_ENAS_DEVIATIONS = (
    *_FINER_PHASES,
    "the paths of a turn are scored on the same minibatch",
    "no clipping of the supernet's gradients, which the program writes and does not do, and no dropout before its "
    "classifier",
    "what is derived is the best of the leaders, scored once more with the last weights, and not of new samples",
    "the baseline begins with the first reward, not with 0, and is held for each depth",
    "the controller's LSTM and heads have biases, and of an earlier layer that was chosen it reads an embedding of the "
    "distance, not the state there",
)

# What the searches of DARTS, PC-DARTS and GDAS have in common.
_DARTS_SUPERNET: Mapping[str, Any] = {
    "space": "darts",
    "channels": 16,
    "cells": 8,
    "final": False,
    "weights": "shared",
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "label_smoothing": 0.0,
    "supernet_clip": 5.0,
    "min_layers": 8,
    "max_layers": 8,
    "prune": False,
}
_DARTS_DEVIATIONS = (
    "a tenth of the training images is kept for validation, which scores the path that each epoch derives, so that "
    "each half of the others is a tenth smaller; --val-fraction 0.01 leaves nearly all",
    "the halves are drawn anew by the seed, and the last, smaller batch of an epoch is filled up",
    "convolutions start from He's normal distribution",
)

PRESETS: dict[str, Preset] = {
    "amoebanet": Preset(
        about="aging evolution as AmoebaNet was searched by (Real et al., 2019), for CIFAR-10; --trainings 20000.",
        options={
            "space": "nasnet",
            "channels": 24,
            "cells": 9,
            "strategy": "evolution",
            "population": 100,
            "tournament": 25,
            "removal": "oldest",
            "mutation": "amoebanet",
            "identity": 0.05,
            "evaluator": "whole",
            "epochs_first": 25,
            "epochs_last": 25,
            "min_layers": 10,
            "max_layers": 10,
            "prune": False,
        },
        deviations=(
            "networks are trained by our recipe, without an auxiliary head or drop-path",
            "one process, not 450 workers, so that no child is made before the one before it is scored",
            "the 20 best are not trained at full size: see retrain --cells 18 --channels 32",
        ),
    ),
    "darts": Preset(
        about="the released search of DARTS (Liu et al., 2019), of second order, for CIFAR-10; --trainings 50.",
        options={
            **_DARTS_SUPERNET,
            "strategy": "darts",
            "alpha_order": 2,
            "alpha_rate": 3e-4,
            "alpha_decay": 1e-3,
            "batch_size": 64,
            "learning_rate": 0.025,
            "final_rate": 1e-3,
        },
        deviations=_DARTS_DEVIATIONS,
    ),
    "enas-macro": Preset(
        about="the released search of ENAS for whole networks (Pham et al., 2018), for CIFAR-10; --episodes 310000.",
        options={
            "space": "enas-macro",
            "channels": 36,
            **_ENAS_CONTROLLER,
            **_ENAS_SUPERNET,
            "policy_learning_rate": 1e-3,
            "tanh_constant": 1.5,
            "entropy_in": "drawn",
            "skip_weight": 0.8,
            "skip_target": 0.4,
            # 50 steps of 20 samples an epoch, which is a pass.
            "num_paths": 20,
            "passes": 1 / 50,
            "batch_size": 128,
            "score_images": 128,
            # The program adds 2.5e-4 times the sum of squares, without a half.
            "weight_decay": 5e-4,
            "min_layers": 12,
            "max_layers": 12,
        },
        deviations=(
            *_ENAS_DEVIATIONS,
            "the supernet has a classifier with a bias behind every layer, whose losses are added, and a layer takes "
            "the gradients of later ones 0.7 times as much a layer; the reward is the score of the whole path, and a "
            "prefix may be derived, too",
            "each operation is its own, where the program may take the last of its branches for all of them",
            "a skip is drawn with the sigmoid of its score, of which the program takes twice, and the prior is of the "
            "probability that it is drawn with",
        ),
    ),
    "enas-micro": Preset(
        about="the released search of ENAS for cells (Pham et al., 2018), for CIFAR-10; --episodes 45000.",
        options={
            "space": "enas-micro",
            "channels": 20,
            "cells": 8,
            **_ENAS_CONTROLLER,
            **_ENAS_SUPERNET,
            "policy_learning_rate": 3.5e-3,
            "tanh_constant": 1.1,
            "op_tanh_reduce": 2.5,
            "separable_bias": 10.0,
            "cell_bias": 0.25,
            "entropy_in": "reward",
            # 30 steps of 10 samples an epoch.
            "num_paths": 10,
            "passes": 1 / 30,
            "batch_size": 160,
            "score_images": 160,
            "weight_decay": 2e-4,
            "min_layers": 10,
            "max_layers": 10,
        },
        deviations=(
            *_ENAS_DEVIATIONS,
            "nodes of the normal and the reduction cell are sampled in turn, and an input before its operation; the "
            "program samples the normal cell first, and of a node both inputs first",
            "the first and the second operation of a node have heads of their own",
            "cells read the two cells before them, as in the program's final network; in its search a reduction cell "
            "reads the last cell twice, and the cell behind it the halved form of that",
            "no drop-path and no auxiliary head",
        ),
    ),
    "enas-rnn": Preset(
        about="the released search of ENAS for recurrent cells (google-research, enas_lm), for --dataset ptb; "
        "--episodes 37500.",
        options={
            "space": "enas-rnn",
            "hidden": 200,
            "ends": "all",
            "strategy": "reinforce",
            "hidden_size": 64,
            "policy_learning_rate": 5e-5,
            "tanh_constant": 2.25,
            "softmax_temperature": 5.0,
            # The program is rewarded with 80 / perplexity: 80 times as much, which Adam does not see.
            "entropy": 1e-5 / 80,
            "entropy_in": "reward",
            "adam_epsilon": 1e-8 / 80,
            "grad_clip": 1e9,
            "baseline_decay": 0.999,
            "weights": "shared",
            # 25 steps of the controller after an epoch, each of 10 samples.
            "num_paths": 10,
            "passes": 1 / 25,
            "batch_size": 128,
            "bptt": 35,
            "score_images": 128 * 35,
            "learning_rate": 20.0,
            "text_clip": 0.25,
            "text_weight_decay": 8e-7,
            # 9 nodes behind the first.
            "min_layers": 10,
            "max_layers": 10,
            "prune": False,
        },
        deviations=(
            "rewards are 1 / perplexity, without the factor of 80: the entropy's weight and Adam's epsilon are 80 "
            "times smaller instead, which gives the same steps",
            *_FINER_PHASES,
            "the paths of a turn are scored on the same run of validation words, read in 10 columns",
            "what is derived is the best of the leaders, scored again with the last weights, and not of new samples",
            "near nodes have no prior, and the first node's activation is chosen, too",
            "no dropout, of which we know no figure",
            "the baseline begins with the first reward, not with 0, and is held for each depth",
            "Adam has its usual beta and epsilon, of which we know no figure",
            "150 epochs of the paper, in which 37,500 cells are sampled",
        ),
    ),
    "gdas": Preset(
        about="the search of GDAS (Dong and Yang, 2019) in DARTS' cells, for CIFAR-10; --trainings 250.",
        options={
            **_DARTS_SUPERNET,
            "strategy": "gdas",
            "alpha_rate": 3e-4,
            "alpha_decay": 1e-3,
            "batch_size": 256,
            "learning_rate": 0.025,
            "final_rate": 1e-3,
            "weight_decay": 5e-4,
            "tau_first": 10.0,
            "tau_last": 0.1,
        },
        deviations=(
            *_DARTS_DEVIATIONS,
            "the supernet's first layers and poolings are those of DARTS, and numbers take a step before weights",
        ),
    ),
    "nas-rnn": Preset(
        about="the search of Zoph and Le (2017) for recurrent cells, for --dataset ptb; --trainings 15000.",
        options={
            "space": "nas-rnn",
            "hidden": 650,
            "strategy": "reinforce",
            "controller_layers": 2,
            "hidden_size": 35,
            "policy_learning_rate": 5e-4,
            "grad_clip": 1e9,
            "entropy": 0.0,
            "baseline_decay": 0.95,
            "num_paths": 1,
            "reward_power": 2.0,
            "epochs_first": 35,
            "epochs_last": 35,
            # 15 nodes of the tree, and the memory.
            "min_layers": 16,
            "max_layers": 16,
            "prune": False,
        },
        deviations=(
            "rewards are 1 / perplexity^2: the factor of 80 changes no step of Adam",
            "one layer of cells, not two, of the hidden size of the medium model that the paper sizes cells by",
            "the baseline's decay of 0.95, which the paper does not print",
            "a gradient is applied at once, not after ten, and one process, not 400 replicas of the controller",
            "cells are trained by our recipe for texts",
        ),
    ),
    "pc-darts": Preset(
        about="the released search of PC-DARTS (Xu et al., 2020), for CIFAR-10; --trainings 50.",
        options={
            **_DARTS_SUPERNET,
            "strategy": "pc-darts",
            "channel_parts": 4,
            "alpha_rate": 6e-4,
            "alpha_decay": 1e-3,
            "batch_size": 256,
            "learning_rate": 0.1,
            "final_rate": 0.0,
            # Of 50 epochs the first 15.
            "frozen": 0.3,
        },
        deviations=_DARTS_DEVIATIONS,
    ),
    "random-sharing": Preset(
        about="random search with weight sharing (Li and Talwalkar, 2019) in DARTS' cells; --trainings 5000.",
        options={
            "space": "darts",
            "channels": 24,
            "cells": 8,
            "final": False,
            "strategy": "random",
            "weights": "shared",
            # All in one turn: 150 epochs of training, then the scores of 5,000 cells.
            "num_paths": 5000,
            "passes": 150.0,
            "val_fraction": 0.5,
            "batch_size": 64,
            "learning_rate": 0.025,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "label_smoothing": 0.0,
            "restart_passes": 150.0,
            "lowest_rate": 1e-3,
            "min_layers": 8,
            "max_layers": 8,
            "prune": False,
        },
        deviations=(
            "the cells that are scored are those that the supernet was trained with, one a minibatch, not fresh ones; "
            "all is one turn, so that a search that is killed in it begins anew",
            "Nesterov momentum",
            "batch size, rate and weight decay are those of DARTS' search",
        ),
    ),
    "zoph": Preset(
        about="the controller and schedule of Zoph and Le (2017) for CIFAR-10.",
        options={
            "space": "zoph",
            "strategy": "reinforce",
            "controller_layers": 2,
            "hidden_size": 35,
            "policy_learning_rate": 6e-4,
            "grad_clip": 1e9,
            "entropy": 0.0,
            "baseline_decay": 0.95,
            "num_paths": 8,
            "reward_power": 3.0,
            "reward_epochs": 5,
            "min_layers": 6,
            "max_layers": 20,
            "grow_by": 2,
            "grow_every": 1600,
            "prune": False,
        },
        # 1,600 of 12,800 architectures.
        shares={"grow_every": 1 / 8},
        deviations=(
            "the baseline's decay of 0.95, which the paper does not print, and a baseline for each depth",
            "depth rises after an eighth of --trainings, as 1,600 is of 12,800, or by --grow-every",
            "one process, not 100 replicas of the controller",
            "networks are trained by our recipe, jointly with their prefixes, for --epochs and not for 50",
            "filters times --width",
            "global average pooling before the classifier",
        ),
    ),
}


def with_preset(name: str | None, given: Mapping[str, Any], *, trainings: int | None = None) -> dict[str, Any]:
    """The options given, and those of a preset that are not given; ConfigError for a name that there is not.

    Its shares are of `trainings`; None: the published numbers. Where another strategy was given, or other weights, the
    options of the preset's own are left out; its depth bounds follow one that was given alone.
    """
    if name is None:
        return dict(given)
    if name not in PRESETS:
        raise ConfigError(f"preset is {name!r:.80}; it must be one of {', '.join(PRESETS)} (--preset)")
    preset = PRESETS[name]
    scaled = {} if trainings is None else {o: max(1, round(s * trainings)) for o, s in preset.shares.items()}
    values = without_foreign(given.get("strategy", preset.options["strategy"]), {**preset.options, **scaled})
    if given.get("weights", values.get("weights")) != values.get("weights"):
        values = {option: value for option, value in values.items() if option not in declared(WeightOptions)}
    return {**values, **following_bounds(given, values), **given}
