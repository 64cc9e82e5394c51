"""The nn.Modules of layers that torch itself lacks. They import torch, so import them inside functions only."""
