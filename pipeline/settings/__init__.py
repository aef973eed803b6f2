"""Every setting of the commands, once, and the flag, TOML key and help that follow from it.

A new one is a field in `config.py`, or of the stage that it belongs to; `values.py` reads what a user writes.
"""
