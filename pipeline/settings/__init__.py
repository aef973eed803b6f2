"""Every setting of the commands, once, and the flag, TOML key and help that follow from it.

A new one is a field in `config.py`. The stages' own settings are fields of the stages, which `stages.py` lists.
"""
