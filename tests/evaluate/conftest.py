from collections import OrderedDict

import pytest
import torch
from torch import nn


def _lone_head(heads, shapes, grids, units, place):
    """One of some Heads made of torch's own modules, with copies of its weights."""
    shape, own = shapes[place], units[place]
    width = own or shape[0]
    modules = OrderedDict()
    if own:
        grids = [grid if u else None for grid, u in zip(grids, units, strict=True)]
        modules["cells"] = nn.AdaptiveAvgPool2d(grids[place])
        modules["hidden"] = nn.Conv2d(shape[0], own, 1, bias=False)
        modules["norm"] = nn.BatchNorm2d(own)
        modules["relu"] = nn.ReLU()
        modules["hidden"].weight.data.copy_(heads.hidden[str(place)][:, :, None, None])
        norm = heads.norms[list(dict.fromkeys(filter(None, grids))).index(grids[place])]
        start = sum(u for u, grid in zip(units[:place], grids, strict=False) if grid == grids[place])
        columns = {name: v[start : start + own] if v.ndim else v for name, v in norm.state_dict().items()}
        modules["norm"].load_state_dict(columns)
    modules |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    widths = [u or s[0] for s, u in zip(shapes, units, strict=True)]
    group, row = list(dict.fromkeys(widths)).index(width), widths[:place].count(width)
    modules["linear"] = nn.Linear(width, heads.weights[group].shape[2])
    modules["linear"].weight.data.copy_(heads.weights[group][row].T)
    modules["linear"].bias.data.copy_(heads.biases[group][row, 0])
    return nn.Sequential(modules).train(heads.training)


@pytest.fixture
def lone_head():
    return torch.no_grad()(_lone_head)
