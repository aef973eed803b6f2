"""The commands of `barefaced`, a few to a file: each adds its parser and does what it says.

What is heavy to import is imported inside the command that needs it.
"""
