"""Published cells, in the words of cells.py: node by node, as the authors' files have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Genotype:
    """The nodes of both cells, and which maps they concatenate, where that does not follow from the nodes."""

    normal: tuple[str, ...]
    reduction: tuple[str, ...]
    concat: str = ""


def _cells(normal: str, reduction: str, concat: str = "") -> Genotype:
    return Genotype(tuple(normal.split()), tuple(reduction.split()), concat)


# DARTS: quark0/darts. PC_DARTS: yuhuixu1993/PC-DARTS. GDAS: D-X-Y/AutoDL-Projects. DrNAS: xiangning-chen/DrNAS.
DARTS = {
    "DARTS_V1": _cells(
        "sep3@1+sep3@0 skip@0+sep3@1 skip@0+sep3@1 sep3@0+skip@2",
        "max3@0+max3@1 skip@2+max3@0 max3@0+skip@2 skip@2+avg3@0",
    ),
    "DARTS_V2": _cells(
        "sep3@0+sep3@1 sep3@0+sep3@1 sep3@1+skip@0 skip@0+dil3@2",
        "max3@0+max3@1 skip@2+max3@1 max3@0+skip@2 skip@2+max3@1",
    ),
    "PC_DARTS_cifar": _cells(
        "sep3@1+skip@0 sep3@0+dil3@1 sep5@0+sep3@1 avg3@0+dil3@1",
        "sep5@1+max3@0 sep5@1+sep5@2 sep3@0+sep3@3 sep3@1+sep3@2",
    ),
    "PC_DARTS_image": _cells(
        "skip@1+sep3@0 sep3@0+skip@1 sep3@1+sep3@3 sep3@1+dil5@4",
        "sep3@0+skip@1 dil5@2+max3@1 sep3@2+sep3@1 sep5@0+sep3@3",
    ),
    "GDAS_V1": _cells(
        "skip@0+skip@1 skip@0+sep5@2 sep3@3+skip@0 sep5@4+sep3@3",
        "sep5@0+sep3@1 sep5@2+sep5@1 dil5@2+sep3@1 sep5@0+sep5@1",
    ),
    "DrNAS_cifar10": _cells(
        "sep3@0+sep5@1 sep3@1+sep3@2 skip@0+sep3@1 sep3@2+dil5@3",
        "max3@0+sep5@1 dil5@2+sep5@1 sep5@1+dil5@3 skip@4+sep5@1",
    ),
    "DrNAS_imagenet": _cells(
        "sep3@1+sep3@0 sep3@0+sep3@1 sep3@0+dil3@3 skip@0+sep3@1",
        "max3@0+sep3@1 sep3@0+skip@2 sep3@0+sep3@2 sep3@3+sep3@1",
    ),
}

# NASNet-A: tensorflow/models, research/slim. AmoebaNet: tensorflow/tpu, models/official/amoeba_net/model_specs.py.
NASNET = {
    "NASNet-A": _cells(
        "sep5@0+sep3@1 sep5@1+sep3@1 avg3@0+identity@1 avg3@1+avg3@1 sep3@0+identity@0",
        "sep5@0+sep7@1 max3@0+sep7@1 avg3@0+sep5@1 identity@3+avg3@2 sep3@2+max3@0",
        "1+2+3+4+5+6/3+4+5+6",
    ),
    "AmoebaNet-A": _cells(
        "avg3@0+max3@0 sep3@1+identity@1 identity@0+avg3@1 sep3@0+sep5@2 avg3@5+sep3@0",
        "sep3@1+avg3@0 max3@0+sep7@2 max3@1+max3@0 sep3@4+conv1x7@0 avg3@1+sep7@0",
        "1+3+4+6/2+3+4+5+6",
    ),
    "AmoebaNet-C": _cells(
        "avg3@0+sep3@0 identity@0+sep3@0 avg3@2+sep3@1 identity@0+sep3@1 avg3@3+sep3@0",
        "max3@0+max3@0 sep7@2+sep3@0 sep7@0+max3@1 sep5@4+sep5@4 max3@1+sep3@1",
        "1+2+4+5+6/0+2+3+4+5+6",
    ),
}
