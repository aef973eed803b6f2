"""Generators of the literature, written as networks with random weights, to be timed beside ours."""
