"""Measurements that anybody can run: each claim about speed or quality comes from one of these."""
