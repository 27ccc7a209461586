"""A network's file for tests: its weights are drawn, the same every time."""

from __future__ import annotations

from pathlib import Path


def write_resnet18(folder: Path) -> Path:
    """A backbone file in this folder."""
    import torch

    from ctprune.networks.backbone import create_backbone, save_backbone

    torch.set_num_threads(1)
    torch.manual_seed(0)
    file = folder / "backbone.safetensors"
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata={})
    return file
