"""Generators of the literature, written as networks with random weights, and what others published of their speed."""
