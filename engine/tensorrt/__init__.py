"""What the backends `tensorrt` and `tensorrt_rtx` share: compiling a plan, finding it in the cache, and running it."""
