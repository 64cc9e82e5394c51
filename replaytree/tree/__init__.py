"""The replay tree in SQL: schema, writes, reads, checks."""
