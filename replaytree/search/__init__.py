"""The search: how one begins or is continued, the loop, and what it learns."""
