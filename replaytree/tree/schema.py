"""The tables of a replaytree database, as typed SQLAlchemy models.

The two views, `architectures` and `best_prefixes`, are made by the migrations: SQLAlchemy does not model views.

`best_prefixes` has the order of `replaytree best`, and its `training_bound` is what ranks: the average less the noise
of trainings. It is not the "at least" that people are shown. That one counts the sampling error of the validation
images, too, and is never higher: Wilson's limit needs a square root, which SQLite may lack. Both rank alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, Table, UniqueConstraint, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from replaytree.tree.columns import Blob, LargeWhole, Number, Truth, UtcDateTime, Whole, Words

VERSION_TABLE = "replaytree_alembic_version"
VIEWS = ("architectures", "best_prefixes")

IN_AT_ONCE = 900
"""Values of one IN: SQLite before 3.32 takes 999 parameters, later ones 32,766."""

PARAMS_UNKNOWN = 2**63 - 1
"""The params_rank of a node whose cost is unknown: behind all others."""


class Base(DeclarativeBase):
    """Base of the models: names of constraints, and the column types behind annotations."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        str: Words(), int: Whole(), float: Number(), bool: Truth(), datetime: UtcDateTime(), bytes: Blob(),
    }  # fmt: skip


class SearchRow(Base):
    """One named search. `task` says what is measured: the accuracy on images, or 1 / perplexity of text (metric.py)."""

    __tablename__ = "searches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task: Mapped[str] = mapped_column(server_default="images")
    created_at: Mapped[datetime]
    seed: Mapped[int] = mapped_column(LargeWhole)
    config_json: Mapped[str]
    space_json: Mapped[str]
    data_json: Mapped[str | None]
    versions_json: Mapped[str]


class NodeRow(Base):
    """One prefix of one search, with the sums of its evaluations over all budgets.

    `decisions` is the JSON of those that make up its last layer, by name (coding.decisions_json). `ram_bytes` and
    `flash_bytes` are what the network that is delivered needs with 8 bits a number (Graph).
    """

    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("search_id", "path"), Index(None, "parent_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    depth: Mapped[int]
    # A column of whole numbers in SQLite holds 63 bits, and its declared type cannot be changed.
    action: Mapped[int] = mapped_column(LargeWhole().with_variant(Whole(), "sqlite"))
    label: Mapped[str]
    decisions: Mapped[str] = mapped_column(server_default="{}")
    path: Mapped[str]
    labels: Mapped[str]
    output_shape: Mapped[str | None]
    params: Mapped[int | None] = mapped_column(LargeWhole)
    flops: Mapped[int | None] = mapped_column(LargeWhole)
    ram_bytes: Mapped[int | None] = mapped_column(LargeWhole)
    flash_bytes: Mapped[int | None] = mapped_column(LargeWhole)
    visit_count: Mapped[int]
    evaluation_count: Mapped[int]
    total_accuracy: Mapped[float]


class NodeBudgetRow(Base):
    """The sums of one node at one budget; there is a row only where something was measured.

    `squared_deviations` is that of the single accuracies from their average. The last three stand here for the indexes
    that rankings read: the node's depth and its parameters (or PARAMS_UNKNOWN), which never change, and
    total_accuracy / evaluation_count.
    """

    __tablename__ = "node_budgets"

    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)
    epochs: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    evaluation_count: Mapped[int] = mapped_column()
    total_accuracy: Mapped[float]
    squared_deviations: Mapped[float]
    depth: Mapped[int] = mapped_column()
    average_accuracy: Mapped[float] = mapped_column()
    params_rank: Mapped[int] = mapped_column(LargeWhole)

    __table_args__ = (
        Index(
            "ix_node_budgets_ranking",
            *(search_id, epochs, depth, evaluation_count, average_accuracy.desc(), params_rank, node_id),
        ),
    )


class BudgetRow(Base):
    """The noise of a search's trainings at one budget: a cache, like the sums of the nodes.

    `relative_squares` sums ranking.relative_squares over its nodes, `repeat_count` every evaluation but a node's first.
    """

    __tablename__ = "budgets"

    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    epochs: Mapped[int] = mapped_column(primary_key=True)
    repeat_count: Mapped[int]
    relative_squares: Mapped[float]


class NoiseFactorRow(Base):
    """What ranking.noise_factor is for prefixes of so many evaluations, and how many such prefixes there are: a cache.

    So the view best_prefixes ranks with arithmetic alone: SQLite may have been built without exp and sqrt. `factor` is
    None while the noise is unknown.
    """

    __tablename__ = "noise_factors"

    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True)
    epochs: Mapped[int] = mapped_column(primary_key=True)
    evaluation_count: Mapped[int] = mapped_column(primary_key=True)
    node_count: Mapped[int]
    factor: Mapped[float | None]


class EpisodeRow(Base):
    """One root-to-end sequence that a strategy chose.

    `mixed_json` is what the numbers of a differentiable strategy were like when they said it (records.Mixed).
    """

    __tablename__ = "episodes"
    __table_args__ = (
        UniqueConstraint("search_id", "number"),
        CheckConstraint("source IN ('sample', 'continue', 'replay')", name="source"),
        Index(None, "node_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    number: Mapped[int]
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    source: Mapped[str]
    trained: Mapped[bool]
    depth_bound: Mapped[int]
    epochs: Mapped[int]
    failure: Mapped[str | None]
    failure_text: Mapped[str]
    train_seconds: Mapped[float | None]
    policy_loss: Mapped[float | None]
    entropy: Mapped[float | None]
    created_at: Mapped[datetime]
    mixed_json: Mapped[str | None]


class EvaluationRow(Base):
    """One prefix measured by one training. Append-only: every sum can be rebuilt from these rows.

    A `shared` one is the copy of what another episode of the same training has; it is in no sum.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        UniqueConstraint("episode_id", "node_id"),
        CheckConstraint("accuracy >= 0 AND accuracy <= 1", name="accuracy"),
        Index(None, "node_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    episode_id: Mapped[int] = mapped_column(ForeignKey("episodes.id", ondelete="CASCADE"))
    epochs: Mapped[int]
    accuracy: Mapped[float]
    shared: Mapped[bool] = mapped_column(server_default=false())


class RescoreRow(Base):
    """One prefix that an evaluator scored once more with its last state: no training, and of no episode.

    Append-only, as the evaluations; it is in the sums, too. There is none where a training scored the prefix in the
    same state.
    """

    __tablename__ = "rescores"

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    node_id: Mapped[int] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    epochs: Mapped[int] = mapped_column()
    accuracy: Mapped[float]
    created_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("node_id", "epochs"),
        CheckConstraint("accuracy >= 0 AND accuracy <= 1", name="accuracy"),
        Index(None, "search_id", "epochs"),
    )


class StrategyStateRow(Base):
    """The strategy of a search, as of `episode_count` episodes."""

    __tablename__ = "strategy_states"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    episode_count: Mapped[int]
    payload: Mapped[bytes]
    updated_at: Mapped[datetime]


class EvaluatorStateRow(Base):
    """The file that holds the state of a search's evaluator, as of the last turn (state_files.py).

    `file` is relative to `folder`; None is the folder beside the database. `epochs_before` is added to the epochs that
    the evaluator reports: those of before its weights were last made anew.
    """

    __tablename__ = "evaluator_states"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    folder: Mapped[str | None]
    file: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(LargeWhole)
    sha256: Mapped[str]
    epochs_before: Mapped[int]
    updated_at: Mapped[datetime]


class LeaseRow(Base):
    """The process that drives a search; there is a row only while one does, or where one died.

    `deaths` is a text of deaths.py: which training is under way, and in which ones a process died.
    """

    __tablename__ = "leases"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    holder: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    process: Mapped[str]
    acquired_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    deaths: Mapped[str | None]


class PriorRow(Base):
    """What a search was told of a prefix, at one budget, by the search that it was warm-started from."""

    __tablename__ = "priors"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    path: Mapped[str] = mapped_column(primary_key=True)
    epochs: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    evaluation_count: Mapped[int]
    total_accuracy: Mapped[float]


class CheckpointRow(Base):
    """How many paths of one budget had reached an accuracy, the best of their prefixes', at its checkpoint."""

    __tablename__ = "checkpoints"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    epochs: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    accuracy: Mapped[float] = mapped_column(primary_key=True)
    path_count: Mapped[int]


class GoalRow(Base):
    """How far a search was asked to go, counted from its beginning, and how many seconds it has been running."""

    __tablename__ = "goals"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    episodes: Mapped[int | None] = mapped_column(LargeWhole)
    trainings: Mapped[int | None] = mapped_column(LargeWhole)
    seconds: Mapped[float | None]
    used_seconds: Mapped[float]


class ModelRow(Base):
    """A trained deliverable. Its weights are a file, so it outlives its search.

    `baseline` is the name of a hand-made network, which stands beside what the search found; None for all others.
    `training_json` is how it was trained and measured: two models of one recipe and the same images have the same,
    apart from what is of their networks (models.is_like). Models of older versions have neither it nor costs.
    """

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int | None] = mapped_column(ForeignKey("searches.id", ondelete="SET NULL"))
    node_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="SET NULL"))
    labels: Mapped[str]
    seed: Mapped[int] = mapped_column(LargeWhole)
    epochs: Mapped[int]
    test_accuracy: Mapped[float | None]
    test_image_count: Mapped[int | None]
    weights_path: Mapped[str]
    created_at: Mapped[datetime]
    baseline: Mapped[str | None]
    params: Mapped[int | None] = mapped_column(LargeWhole)
    flops: Mapped[int | None] = mapped_column(LargeWhole)
    ram_bytes: Mapped[int | None] = mapped_column(LargeWhole)
    validation_accuracy: Mapped[float | None]
    validation_image_count: Mapped[int | None]
    training_json: Mapped[str | None]


class ClassResultRow(Base):
    """How many images of one class a model took for another: a cell of its confusion matrix.

    Of pairs that did not occur there are rows only for a class and itself, so that every class has one; they stand in
    the order of the classes. `part` is what was measured: test or validation images. `pictures` shows some of the
    images, as a PNG, of the pairs that were confused most. `search_id` is that of the model.
    """

    __tablename__ = "class_results"
    __table_args__ = (
        UniqueConstraint("model_id", "actual", "predicted"),
        CheckConstraint("part IN ('test', 'validation')", name="part"),
        Index(None, "search_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int | None] = mapped_column(ForeignKey("searches.id", ondelete="SET NULL"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    part: Mapped[str]
    actual: Mapped[str]
    predicted: Mapped[str]
    image_count: Mapped[int]
    pictures: Mapped[bytes | None]


searches = cast(Table, SearchRow.__table__)
nodes = cast(Table, NodeRow.__table__)
node_budgets = cast(Table, NodeBudgetRow.__table__)
budgets = cast(Table, BudgetRow.__table__)
noise_factors = cast(Table, NoiseFactorRow.__table__)
episodes = cast(Table, EpisodeRow.__table__)
evaluations = cast(Table, EvaluationRow.__table__)
rescores = cast(Table, RescoreRow.__table__)
strategy_states = cast(Table, StrategyStateRow.__table__)
evaluator_states = cast(Table, EvaluatorStateRow.__table__)
leases = cast(Table, LeaseRow.__table__)
priors = cast(Table, PriorRow.__table__)
checkpoints = cast(Table, CheckpointRow.__table__)
goals = cast(Table, GoalRow.__table__)
models = cast(Table, ModelRow.__table__)
class_results = cast(Table, ClassResultRow.__table__)
