"""What networks learn from and are measured on: photos, crops, drawn masks and samples.

Nothing here needs PyTorch.
"""
