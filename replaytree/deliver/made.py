"""The network of a description, whatever its task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.deployed_text import DeployedText
from replaytree.deliver.description import Description
from replaytree.deliver.model import Model
from replaytree.deliver.text_model import TextModel

AnyDeployed = Deployed | DeployedText
AnyModel = Model | TextModel


def made(description: Description) -> AnyDeployed:
    """The untrained network of a description."""
    return DeployedText(description) if description.metric.task == "text" else Deployed(description)


def model_of(network: AnyDeployed, description: Description) -> AnyModel:
    """A trained network, ready to predict."""
    if isinstance(network, DeployedText):
        return TextModel.of(network, description)
    return Model.of(network, description)


def example_of(description: Description) -> tuple[Tensor, ...]:
    """Inputs of a network that is traced; two of a batch, because torch.export treats a dimension of one as fixed."""
    if description.metric.task == "text":
        cell = description.cell
        return torch.zeros(2, dtype=torch.int64), torch.zeros(2, cell.states, cell.hidden)
    return (torch.zeros((2, *description.input_shape), dtype=torch.uint8),)


def dynamic_shapes(description: Description) -> dict[str, Any]:
    """Of these inputs: the batch may have any size."""
    batch = {0: torch.export.Dim("batch")}
    if description.metric.task == "text":
        return {"words_B": batch, "state_BSH": batch}
    return {"images_NCHW": batch}
