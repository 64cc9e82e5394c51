"""Published cells, in the words of cells.py: node by node, as the authors' files have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Genotype:
    """The nodes of both cells."""

    normal: tuple[str, ...]
    reduction: tuple[str, ...]


def _cells(normal: str, reduction: str) -> Genotype:
    return Genotype(tuple(normal.split()), tuple(reduction.split()))


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
