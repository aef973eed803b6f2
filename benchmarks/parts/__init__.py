"""The parts of `barefaced bench`: a file for each, with its plan, its measurement, its figures and its tables."""
