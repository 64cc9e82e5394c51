"""`python -m replaytree.cli`."""

from replaytree.cli import main

if __name__ == "__main__":
    main()
