"""The networks as PyTorch sees them, their checkpoints, and their way out as ONNX files.

How they are trained lives in `loop`.
"""
