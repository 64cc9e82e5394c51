"""Create the tables and views.

The views' SQL means the same in SQLite and in PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ARCHITECTURES = """
CREATE VIEW architectures AS
SELECT searches.name AS search, nodes.id AS node_id, nodes.depth, nodes.labels, nodes.path, nodes.output_shape,
       nodes.params, nodes.flops, sums.epochs,
       sums.total_accuracy / NULLIF(sums.evaluation_count, 0) AS average_accuracy,
       nodes.evaluation_count, nodes.visit_count
FROM nodes
JOIN searches ON searches.id = nodes.search_id
LEFT JOIN node_budgets AS sums ON sums.node_id = nodes.id
     AND sums.epochs = (SELECT MAX(own.epochs) FROM node_budgets AS own WHERE own.node_id = nodes.id)
"""

# PostgreSQL rounds to decimals in NUMERIC only. The averages are ordered before they are rounded.
BEST_PREFIXES = """
CREATE VIEW best_prefixes AS
SELECT ranked.search, ranked.labels, ranked.depth,
       CAST(ROUND(CAST(ranked.average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       ranked.evaluation_count, ranked.visit_count, ranked.params, ranked.flops, ranked.epochs, ranked.node_id
FROM architectures AS ranked
JOIN (SELECT searches.name AS search, MAX(node_budgets.epochs) AS epochs
      FROM node_budgets JOIN searches ON searches.id = node_budgets.search_id
      GROUP BY searches.name) AS largest
     ON largest.search = ranked.search AND largest.epochs = ranked.epochs
ORDER BY ranked.average_accuracy DESC, ranked.params IS NULL, ranked.params, ranked.node_id
"""


def upgrade() -> None:
    op.create_table(
        "searches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("config_json", sa.Text(), nullable=False),
        sa.Column("space_json", sa.Text(), nullable=False),
        sa.Column("data_json", sa.Text(), nullable=True),
        sa.Column("versions_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
        sa.UniqueConstraint("name", name=op.f("uq_searches_name")),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("output_shape", sa.Text(), nullable=True),
        sa.Column("params", sa.BigInteger(), nullable=True),
        sa.Column("flops", sa.BigInteger(), nullable=True),
        sa.Column("visit_count", sa.Integer(), nullable=False),
        sa.Column("evaluation_count", sa.Integer(), nullable=False),
        sa.Column("total_accuracy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["nodes.id"], name=op.f("fk_nodes_parent_id_nodes"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_nodes_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sa.UniqueConstraint("search_id", "path", name=op.f("uq_nodes_search_id_path")),
    )
    op.create_index(op.f("ix_nodes_parent_id"), "nodes", ["parent_id"])
    op.create_table(
        "strategy_states",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("episode_count", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_strategy_states_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_strategy_states")),
    )
    op.create_table(
        "episodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("trained", sa.Boolean(), nullable=False),
        sa.Column("depth_bound", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("failure_text", sa.Text(), nullable=False),
        sa.Column("train_seconds", sa.Double(), nullable=True),
        sa.Column("policy_loss", sa.Double(), nullable=True),
        sa.Column("entropy", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("source IN ('sample', 'continue', 'replay')", name=op.f("ck_episodes_source")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_episodes_node_id_nodes"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_episodes_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episodes")),
        sa.UniqueConstraint("search_id", "number", name=op.f("uq_episodes_search_id_number")),
    )
    op.create_index(op.f("ix_episodes_node_id"), "episodes", ["node_id"])
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=True),
        sa.Column("node_id", sa.Integer(), nullable=True),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("weights_path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_models_node_id_nodes"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_models_search_id_searches"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_table(
        "node_budgets",
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("evaluation_count", sa.Integer(), nullable=False),
        sa.Column("total_accuracy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_node_budgets_node_id_nodes"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_node_budgets_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("node_id", "epochs", name=op.f("pk_node_budgets")),
    )
    op.create_index(op.f("ix_node_budgets_search_id_epochs"), "node_budgets", ["search_id", "epochs"])
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("episode_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_evaluations_accuracy")),
        sa.ForeignKeyConstraint(
            ["episode_id"], ["episodes.id"], name=op.f("fk_evaluations_episode_id_episodes"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["node_id"], ["nodes.id"], name=op.f("fk_evaluations_node_id_nodes"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_evaluations_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("episode_id", "node_id", name=op.f("uq_evaluations_episode_id_node_id")),
    )
    op.create_index(op.f("ix_evaluations_node_id"), "evaluations", ["node_id"])
    op.execute(ARCHITECTURES)
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.execute("DROP VIEW architectures")
    op.drop_table("evaluations")
    op.drop_table("node_budgets")
    op.drop_table("models")
    op.drop_table("episodes")
    op.drop_table("strategy_states")
    op.drop_table("nodes")
    op.drop_table("searches")
