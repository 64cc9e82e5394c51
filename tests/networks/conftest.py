from collections import OrderedDict

import pytest
import torch
from torch import nn


def _lone_head(heads, shapes, grids, units, place):
    """One of some Heads made of torch's own modules, with copies of its weights."""
    keys = [(grid if u else (1, 1), s[0], u) for s, grid, u in zip(shapes, grids, units, strict=True)]
    alike = heads.kinds[list(dict.fromkeys(keys)).index(keys[place])]
    row, own, channels = keys[:place].count(keys[place]), units[place], shapes[place][0]
    modules = OrderedDict()
    if own:
        modules["cells"] = nn.AdaptiveAvgPool2d(grids[place])
        modules["hidden"] = nn.Conv2d(channels, own, 1, bias=False)
        modules["norm"] = nn.BatchNorm2d(own)
        modules["relu"] = nn.ReLU()
        modules["hidden"].weight.data.copy_(alike.hidden[row].T[:, :, None, None])
        columns = {n: v[row * own : (row + 1) * own] if v.ndim else v for n, v in alike.norm.state_dict().items()}
        modules["norm"].load_state_dict(columns)
    modules |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    modules["linear"] = nn.Linear(own or channels, alike.weight.shape[2])
    modules["linear"].weight.data.copy_(alike.weight[row].T)
    modules["linear"].bias.data.copy_(alike.bias[row, 0])
    return nn.Sequential(modules).train(heads.training)


@pytest.fixture
def lone_head():
    return torch.no_grad()(_lone_head)
