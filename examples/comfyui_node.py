"""A node for ComfyUI: copy this file into ComfyUI/custom_nodes/ and install barefaced in ComfyUI's environment.

Written against ComfyUI's documented interface of custom nodes (docs.comfy.org); it was never run inside ComfyUI.
A batch of images is taken for consecutive frames of one video when `video` is on, else for pictures by themselves.
"""

from typing import Any, ClassVar

import numpy as np
import torch

import barefaced


class RemoveMasks:
    """IMAGE in, IMAGE out: (batch, height, width, 3) float32 in [0, 1]."""

    CATEGORY = "image/faces"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "remove"
    DESCRIPTION = "Draws a face where a mask was. The face is invented by a neural network."

    _remover: ClassVar[barefaced.Remover | None] = None

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name that ComfyUI asks for
        """What the node takes."""
        return {"required": {"images": ("IMAGE",), "video": ("BOOLEAN", {"default": False})}}

    def remove(self, images: torch.Tensor, video: bool) -> tuple[torch.Tensor]:  # noqa: FBT001 - ComfyUI passes it so
        """The images with their masks drawn over."""
        if RemoveMasks._remover is None:  # compiled once, on first use
            RemoveMasks._remover = barefaced.Remover()
        remover = RemoveMasks._remover

        frames = [np.rint(image.cpu().numpy() * 255).astype(np.uint8) for image in images]  # (height, width, 3) each
        drawn = list(remover.frames(frames)) if video else [remover.picture(frame) for frame in frames]
        return (torch.from_numpy(np.stack(drawn).astype(np.float32) / 255),)


NODE_CLASS_MAPPINGS = {"BarefacedRemoveMasks": RemoveMasks}
NODE_DISPLAY_NAME_MAPPINGS = {"BarefacedRemoveMasks": "Remove face masks"}
