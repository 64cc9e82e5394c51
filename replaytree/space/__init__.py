"""Spaces: which layers there are, where each is legal, what each costs."""
