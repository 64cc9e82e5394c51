"""Neural architecture search that keeps every prefix it trains in a SQL tree."""
