"""Which path to try next: the controller, returns, replay and the strategies."""
