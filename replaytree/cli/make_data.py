"""`replaytree data make`: data sets that are made of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from replaytree.cli import console
from replaytree.cli.help import Commands
from replaytree.cli.options import DataDir, whole
from replaytree.cli.text import escaped, say

data = Commands(help="Make data sets of others.")


@data.callback()
def _data() -> None:
    """Make data sets of others."""


@data.command()
def make(
    name: Annotated[
        Literal["addnist", "multnist", "cifartile"],
        typer.Argument(help="addnist and multnist are made of MNIST, cifartile of CIFAR-10.", metavar="NAME"),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, NAME.npz, or a new folder of pictures.")],
    images: Annotated[
        int | None, whole("Images for training and validation.  [default: as many as published, 60,000]", "--images")
    ] = None,
    seed: Annotated[int, whole("Seed of the draws.", least=0)] = 0,
    data_dir: DataDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Make AddNIST, MultNIST or Cifartile by their published descriptions: data that no architecture was made for.

    addnist: three digits as red, green and blue, labelled by their sum. multnist: by the last digit of their product.
    cifartile: four images, labelled by how many classes they show.
    """
    from replaytree.deliver.challenge_files import make_data

    done = make_data(name, out, images=images, seed=seed, data_dir=data_dir, force=force)
    say(escaped(done.text))
    say(f"\nNext:\n  {console.command('run', '--dataset', out)}")
