"""The training loop: settings, losses, optimisers, the discriminator, validation and curves.

What judges the finished network lives in `evaluation`.
"""
