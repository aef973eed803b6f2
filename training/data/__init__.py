"""What networks learn from: stored crops, drawn masks and samples; and masks drawn on the faces of a video.

Nothing here needs PyTorch.
"""
