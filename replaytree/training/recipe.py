"""The recipe: how a network is trained, in a search and once it has been chosen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from replaytree.config import SearchConfig
from replaytree.config.final_recipes import GPU_CUTOUT, USUAL_CUTOUT
from replaytree.config.objective import RewardKind
from replaytree.config.recipe import ClassWeights
from replaytree.config.retraining import Padding, PrecisionName, RetrainOptions, ScheduleName
from replaytree.data import Data, ImageData, TextData
from replaytree.data.augment import require_reflection
from replaytree.errors import ConfigError
from replaytree.networks.trie import DISCOUNT
from replaytree.sources.names import count_of
from replaytree.space.trie import HEAD_HIDDEN
from replaytree.training.schedule import cosine, one_cycle

# Options that came later. At these values a training is what it was before: its model and checkpoints stay valid.
LATER = {
    "precision": None, "class_weights": None, "padding": "zeros", "alternate_flip": False,
    "schedule": "one-cycle", "lowest_rate": 0.0, "restart_epochs": None, "restart_factor": 2.0, "nesterov": True,
    "grad_clip": None, "drop_path": 0.0, "auxiliary_weight": 0.0, "bptt": None, "nonmono": None,
    "embedding_dropout": 0.0, "input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0,
}  # fmt: skip

# What no weight of a finished model depends on: it has one head, and is measured by the share of right answers.
_OF_SEARCHES = ("capture", "compile", "discount", "fuse", "hidden", "reward", "reward_epochs")

# A step of 64 small images leaves a GPU idle: one of 512 takes 2 to 6 times as long (reports/benchmarks/gpu.md).
BATCH, GPU_BATCH = 64, 512
# Of a retraining on a CPU.
FULL_BATCH = 128
# Few large steps learn less than many small ones, so batches are halved until an epoch has as many.
STEPS_AN_EPOCH = 40
# The rate grows with the batch (Goyal et al., 2017), as far as trainings of CIFAR-10 in batches of 512 take it.
RATE, HIGHEST_RATE = 0.1, 0.4
# Without batch norm the same rate kills networks. At 0.1, 10 of 15 short trainings of five chains of metaqnn and
# nascell on the digits never learned; at 0.03 one, and at 0.01 none (reports/benchmarks/spaces.md).
PLAIN_RATE = 0.01
# Of a supernet, whose gradients are shortened to 1 (reports/benchmarks/weights.md).
SHARED_RATE = 0.3
# Of texts, as AWD-LSTM and ENAS have both; shorter gradients than 0.25 make so high a rate bearable.
COLUMNS, TEXT_RATE = 20, 20.0


def with_batches(config: SearchConfig, *, device: str, images: int, normed: bool = True) -> SearchConfig:
    """The configuration with its batch size and learning rate, by the kind of device and the number of images.

    A rate that is not given belongs to the batch that is chosen here; with a batch that is given it is 0.1. It is a
    tenth of that where networks are not `normed` (Graph.is_normed). That of a supernet does not depend on the batch.
    """
    scale = rate_scale(normed=normed)
    batch, rate = config.recipe.batch_size, config.recipe.learning_rate
    if config.weights.weights == "shared" and rate is None:
        rate = SHARED_RATE
    if batch is None:
        batch = _large_batch(images) if device == "cuda" else BATCH
        rate = large_rate(batch) * scale if rate is None else rate
    return config.with_options(batch_size=batch, learning_rate=RATE * scale if rate is None else rate)


def _large_batch(images: int) -> int:
    """The batch of a GPU: as many images as there may be while an epoch has enough steps."""
    batch = GPU_BATCH
    while batch > BATCH and images < STEPS_AN_EPOCH * batch:
        batch //= 2
    return batch


def large_rate(batch: int) -> float:
    """The learning rate that goes with a batch which is chosen by the device."""
    return min(HIGHEST_RATE, RATE * batch / BATCH)


def rate_scale(*, normed: bool) -> float:
    """What rates are multiplied by, as the network has batch norm or not."""
    return 1.0 if normed else PLAIN_RATE / RATE


def retrains_large(images: int, *, device: str) -> bool:
    """Whether a retraining has larger batches than on a CPU, more epochs and more augmentation: a GPU and many images.

    Of fewer images an epoch would have too few steps, and so a GPU trains them as a CPU does.
    """
    return device == "cuda" and _large_batch(images) > FULL_BATCH


def with_columns(config: SearchConfig, data: TextData) -> SearchConfig:
    """The configuration of a search on a text with its columns and learning rate; ConfigError for too short a text."""
    recipe = Recipe.of(config, data)
    return config.with_options(batch_size=recipe.batch_size, learning_rate=recipe.learning_rate)


def _columns(data: TextData, bptt: int) -> int:
    """As many columns as there may be while an epoch has enough steps."""
    columns = COLUMNS
    while columns > 1 and data.train_count < columns * bptt * STEPS_AN_EPOCH:
        columns //= 2
    return columns


def require_rows(data: TextData, *, columns: int, bptt: int) -> None:
    """ConfigError where a column of a text has fewer words than a step is to read of it."""
    # A word is read, and the next one is to be predicted.
    rows = (data.train_count - 1) // columns
    if rows >= bptt:
        return
    most = (data.train_count - 1) // bptt
    fewer = f"--batch-size {most} or less, or " if most else ""
    raise ConfigError(
        f"bptt is {bptt}, and {count_of(data.train_count, 'word')} of {data.name} in {count_of(columns, 'column')} "
        f"make {rows} a column; give "
        f"{fewer}" + (f"--bptt {rows} or less" if rows else "a longer text")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained: SGD, a schedule of its rate, and what is done to images, or to texts.

    The defaults are those of a search; `of` and `full` make the recipe of a search and of a retraining.

    `crop_padding` and `cutout` are pixels; `cutout` is the side of the square that is blanked, 0 for none. What
    `padding` is, augment() says. With `alternate_flip` a random half of the images is mirrored in the first epoch, the
    other half in the second, and so on: every pair of epochs shows both sides of every image, where random flips show
    half of the images the same side twice (Jordan, 2024, arXiv:2404.00498).
    `average_share`: the final weights are a moving average over about this share of all steps; 0 for the last weights.
    `reward`: what validation tells of a network (rewards.py). `class_weights`: how the losses of the classes are
    weighed (class_weights.py). `capture`: on a GPU, the training step is captured in a CUDA graph. `compile`: torch
    compiles the network. `precision`: the type of its products (precision.py); None: what the device is fast in.
    `discount`: how much of a head's gradient each layer of a joint training passes on to the one
    before it (DISCOUNT in networks/trie.py). `hidden`: units a channel in the hidden layers of its heads (HEAD_HIDDEN).
    `reward_epochs`: the best accuracy after any of so many last epochs is reported beside the last.

    `schedule` 'cosine' falls from `learning_rate` to `lowest_rate`, or does so again and again, the first time in
    `restart_epochs` and each time in `restart_factor` times as many. `grad_clip`: the longest gradient; None: any.
    `drop_path` is the rate that drop-path rises to in a straight line, and `auxiliary_weight` that of the auxiliary
    classifier's loss; both act where the network has parts for them.

    Of a text, which `bptt` is not None of: `batch_size` columns are read side by side, `bptt` words of each a step.
    `nonmono`: weights are averaged from the epoch on that is worse in validation than one more than so many epochs
    before it. The dropouts are those of LanguageModel (space/language_model.py).
    """

    batch_size: int = BATCH
    learning_rate: float = RATE
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    crop_padding: int = 0
    padding: Padding = "zeros"
    flip: bool = False
    alternate_flip: bool = False
    cutout: int = 0
    average_share: float = 0.0
    reward: RewardKind = "accuracy"
    class_weights: ClassWeights | None = None
    capture: bool = True
    fuse: bool = True
    compile: bool = False
    precision: PrecisionName | None = None
    discount: float = DISCOUNT
    hidden: int = HEAD_HIDDEN
    reward_epochs: int = 1
    schedule: ScheduleName = "one-cycle"
    lowest_rate: float = 0.0
    restart_epochs: int | None = None
    restart_factor: float = 2.0
    nesterov: bool = True
    grad_clip: float | None = None
    drop_path: float = 0.0
    auxiliary_weight: float = 0.0
    bptt: int | None = None
    nonmono: int | None = None
    embedding_dropout: float = 0.0
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    output_dropout: float = 0.0

    @property
    def step_units(self) -> int:
        """What a step computes at once: images, or words."""
        return self.batch_size * (self.bptt or 1)

    @property
    def unit(self) -> str:
        """What a batch is counted in."""
        return "images" if self.bptt is None else "columns"

    def rate(self, step: int, steps: int, *, epoch_steps: int) -> float:
        """The learning rate of step 0..steps - 1 of a training."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "one-cycle":
            return one_cycle(step, steps, peak=self.learning_rate)
        first = steps / epoch_steps if self.restart_epochs is None else self.restart_epochs
        return cosine(
            step / epoch_steps,
            peak=self.learning_rate,
            lowest=self.lowest_rate,
            first=first,
            factor=self.restart_factor,
        )

    @classmethod
    def of(cls, config: SearchConfig, data: Data) -> Recipe:
        """The recipe a configuration asks for; augmentation is the data set's own unless it says otherwise.

        Without `with_batches` a batch that is not given is that of a CPU. ConfigError for a text too short for it.
        """
        own = config.recipe
        if isinstance(data, TextData):
            return cls._of_text(config, data)
        return cls(
            batch_size=own.batch_size or BATCH,
            learning_rate=own.learning_rate or RATE,
            momentum=own.momentum,
            weight_decay=own.weight_decay,
            label_smoothing=own.label_smoothing,
            crop_padding=data.crop_padding if own.crop_padding is None else own.crop_padding,
            flip=data.flip if own.flip is None else own.flip,
            reward=config.objective.reward,
            class_weights=own.class_weights,
            capture=config.machine.capture is not False,
            fuse=config.machine.fuse is not False,
            reward_epochs=config.objective.reward_epochs,
        )

    @classmethod
    def _of_text(cls, config: SearchConfig, data: TextData) -> Recipe:
        own, text = config.recipe, config.text
        columns = own.batch_size or _columns(data, text.bptt)
        require_rows(data, columns=columns, bptt=text.bptt)
        return cls(
            batch_size=columns,
            learning_rate=own.learning_rate or TEXT_RATE,
            momentum=0.0,
            weight_decay=text.text_weight_decay,
            label_smoothing=0.0,
            capture=False,
            reward_epochs=config.objective.reward_epochs,
            schedule="constant",
            grad_clip=text.text_clip,
            bptt=text.bptt,
            nonmono=text.nonmono,
            embedding_dropout=text.embedding_dropout,
            input_dropout=text.input_dropout,
            hidden_dropout=text.hidden_dropout,
            output_dropout=text.output_dropout,
        )

    @classmethod
    def full(
        cls,
        data: ImageData,
        options: RetrainOptions,
        *,
        normed: bool = True,
        cutout_share: float | None = None,
        device: str = "cpu",
    ) -> Recipe:
        """The recipe of a retraining. `normed`: whether the network has batch norm (Graph.is_normed).

        Where an option is None: the rate is 0.1, or 0.01 without batch norm, augmentation is the data set's own, cutout
        is `cutout_share` of the shorter side (None: a quarter), and a batch is a fiftieth of the training images, but
        16 to 128, so that an epoch of a small set has enough steps. On a GPU and with many images (retrains_large)
        batches are 256 or 512 and the rate is four times that, unless a batch is given; padding is reflected, flips
        alternate, and a None for `cutout_share` is three eighths, as in Jordan (2024, arXiv:2404.00498).
        ConfigError where the lowest rate is over the peak; DataError for more padding than can be reflected.
        """
        images, side = len(data.train_labels), min(data.image_shape[1:])
        large = retrains_large(images, device=device)
        usual_share = GPU_CUTOUT if large else USUAL_CUTOUT
        own: dict[str, Any] = {
            "batch_size": max(16, min(FULL_BATCH, images // 50)),
            "learning_rate": RATE * rate_scale(normed=normed),
            "crop_padding": data.crop_padding,
            "flip": data.flip,
            "cutout": int(side * (usual_share if cutout_share is None else cutout_share)),
        }
        if large:
            if options.batch_size is None:
                batch = _large_batch(images)
                own |= {"batch_size": batch, "learning_rate": large_rate(batch) * rate_scale(normed=normed)}
            padding = data.crop_padding if options.crop_padding is None else options.crop_padding
            own["padding"] = "reflect" if 0 < padding < side else "zeros"
            own["alternate_flip"] = data.flip if options.flip is None else options.flip
        given = {name: value for name, value in asdict(options).items() if value is not None}
        if device == "cpu" and given.get("precision") == "float32":
            # As without the option, so that the model is the same one.
            del given["precision"]
        recipe = cls(**{**own, **given})
        if recipe.padding == "reflect":
            require_reflection(recipe.crop_padding, data.image_shape[1:])
        if recipe.lowest_rate > recipe.learning_rate:
            raise ConfigError(
                f"lowest_rate is {recipe.lowest_rate:g}, over the peak of {recipe.learning_rate:g}; give a lower one "
                f"(--lowest-rate)"
            )
        return recipe

    def values(self) -> dict[str, Any]:
        """What decides the weights of a network with one head, as plain values for a checkpoint and a model file."""
        values = asdict(self).items()
        return {n: value for n, value in values if n not in _OF_SEARCHES and not (n in LATER and value == LATER[n])}
