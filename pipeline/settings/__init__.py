"""Every setting, once: its rule, its meaning, and the flag, TOML key and help that follow from them.

Nothing here knows what a setting is used for. A new one is a field in `config.py`.
"""
