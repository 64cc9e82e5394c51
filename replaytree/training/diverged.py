"""The end of a training whose loss is no number any more."""


class Diverged(Exception):
    """The loss of a training is not finite: an outcome, not a fault. `heads` had such a loss first."""

    def __init__(self, text: str, heads: tuple[int, ...]) -> None:
        super().__init__(text)
        self.heads = heads
