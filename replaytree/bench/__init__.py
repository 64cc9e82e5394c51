"""Measurements that anybody can repeat. Each claim about speed or quality in reports/benchmarks/ comes from one."""
