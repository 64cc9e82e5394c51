"""Store the decisions of every node, and of every search a description that its space is rebuilt from.

Every space so far had one decision a layer, which is called `layer`; its options are the labels. A space is described
anew: by its name where its layers are those of xu24, by its layers, or by its labels where only its author has them.
A description that cannot be read stays as it is, and `replaytree db check` says so.
"""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ARCHITECTURES = """
CREATE VIEW architectures AS
SELECT searches.name AS search, nodes.id AS node_id, nodes.depth, nodes.labels, nodes.decisions, nodes.path,
       nodes.output_shape, nodes.params, nodes.flops, sums.epochs,
       sums.total_accuracy / NULLIF(sums.evaluation_count, 0) AS average_accuracy,
       nodes.evaluation_count, nodes.visit_count
FROM nodes
JOIN searches ON searches.id = nodes.search_id
LEFT JOIN node_budgets AS sums ON sums.node_id = nodes.id
     AND sums.epochs = (SELECT MAX(own.epochs) FROM node_budgets AS own WHERE own.node_id = nodes.id)
"""

# As 0012 made it.
ARCHITECTURES_BEFORE = ARCHITECTURES.replace("nodes.decisions, ", "")

# Labels have visible characters, so that JSON escapes these two alone.
FILL = r"""
UPDATE nodes SET decisions = '{"layer": "' || REPLACE(REPLACE(label, '\', '\\'), '"', '\"') || '"}'
"""
# Options that are whole numbers are stored as such.
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
FILL_NUMBER = """
UPDATE nodes SET decisions = '{"layer": ' || label || '}' WHERE label = :label
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("DROP VIEW architectures")
    # A column of whole numbers in SQLite holds 63 bits already.
    if connection.dialect.name == "postgresql":
        op.alter_column("nodes", "action", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)
    op.add_column("nodes", sa.Column("decisions", sa.Text(), server_default="{}", nullable=False))
    connection.exec_driver_sql(FILL)
    for label in connection.scalars(sa.text("SELECT DISTINCT label FROM nodes")).all():
        if isinstance(label, str) and WHOLE.fullmatch(label):
            connection.execute(sa.text(FILL_NUMBER), {"label": label})
    op.execute(ARCHITECTURES)
    _rewrite(_described)


def downgrade() -> None:
    connection = op.get_bind()
    op.execute("DROP VIEW architectures")
    op.drop_column("nodes", "decisions")
    if connection.dialect.name == "postgresql":
        op.alter_column("nodes", "action", type_=sa.Integer(), existing_type=sa.BigInteger(), existing_nullable=False)
    op.execute(ARCHITECTURES_BEFORE)
    _rewrite(_as_before)


def _rewrite(described: Any) -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, space_json, config_json, data_json FROM searches")).all()
    for search_id, space_json, config_json, data_json in rows:
        try:
            new = described(json.loads(space_json), json.loads(config_json), json.loads(data_json or "null"))
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            continue
        connection.execute(
            sa.text("UPDATE searches SET space_json = :space WHERE id = :id"),
            {"space": json.dumps(new, sort_keys=True), "id": search_id},
        )


def _described(space: dict[str, Any], config: dict[str, Any], data: dict[str, Any] | None) -> dict[str, Any]:
    """The description, in format 1, of a space as it was stored: {"kind": its class, "labels", "max_layers"}, and
    perhaps "layers", "input_shape" and "num_classes".
    """
    kind, labels, max_layers = space["kind"], space["labels"], space["max_layers"]
    # Limits on costs were written into the kind, and stand in the configuration, too.
    ours = kind in ("LayerSpace", "ConstrainedSpace")
    by_name = ours and config.get("dataset") is not None and config.get("space", "xu24") == "xu24"
    width = config.get("width") or 1.0
    sizes = {name: space[name] for name in ("input_shape", "num_classes") if name in space}
    if not sizes and by_name and data is not None:
        sizes = {"input_shape": data["image_shape"], "num_classes": len(data["classes"])}
    layers = xu24(width)
    if by_name and sizes and labels == list(layers) and space.get("layers") in (None, list(layers.values())):
        return {"kind": "xu24", "format": 1, **sizes, "max_layers": max_layers, "width": width}
    if ours and "layers" in space and sizes:
        own = {"labels": labels, "layers": space["layers"]}
        return {"kind": "layers", "format": 1, **own, **sizes, "max_layers": max_layers}
    return {"kind": "own", "format": 1, "class": kind, "labels": labels, "max_layers": max_layers}


def _as_before(space: dict[str, Any], config: dict[str, Any], data: dict[str, Any] | None) -> dict[str, Any]:
    """The inverse of _described. Of a space whose layers are several decisions, older versions know no layer."""
    known = {name: space[name] for name in ("input_shape", "num_classes") if name in space}
    known["max_layers"] = space["max_layers"]
    if space["kind"] == "xu24":
        layers = xu24(space["width"])
        return {"kind": "LayerSpace", "labels": list(layers), "layers": list(layers.values()), **known}
    if space["kind"] == "layers":
        return {"kind": "LayerSpace", "labels": space["labels"], "layers": space["layers"], **known}
    if space["kind"] == "labels":
        return {"kind": "LabelSpace", "labels": space["labels"], **known}
    return {"kind": space["class"], "labels": space["labels"], **known}


def xu24(width: float) -> dict[str, dict[str, Any]]:
    """The layers of xu24 as they were stored, by label."""
    found = {}
    for channels in (32, 64, 128):
        for kernel in (3, 4, 5):
            found[f"conv{channels}k{kernel}"] = _convolution(channels, kernel, 1, width)
    for channels in (32, 64, 128):
        found[f"conv{channels}k3s2"] = _convolution(channels, 3, 2, width)
    for channels in (32, 64, 128):
        for stride in (1, 2):
            block = {"type": "ResidualBlock", "channels": channels, "stride": stride, "width": width}
            found[f"res{channels}{'s2' if stride == 2 else ''}"] = block
    for kind in ("avg", "max"):
        for kernel, stride in ((2, 2), (3, 2), (3, 1)):
            found[f"{kind}{kernel}s{stride}"] = {"type": "Pooling", "kind": kind, "kernel": kernel, "stride": stride}
    return found


def _convolution(channels: int, kernel: int, stride: int, width: float) -> dict[str, Any]:
    return {"type": "Convolution", "channels": channels, "kernel": kernel, "stride": stride, "width": width}
