"""`python -m replaytree.cli`."""

from replaytree.cli import main

main()
