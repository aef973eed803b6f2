"""An ONNX graph as PyTorch runs it: the graph, its operators, the arithmetic of shapes, and compiled programs.

The backends `torch`, `torch_compile` and `torch_tensorrt` import it, and nothing else does, since it needs PyTorch.
"""
