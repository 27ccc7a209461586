"""Where the run takes place: the machine, the GPU, the software and the bundle."""

from __future__ import annotations

import json
from pathlib import Path

from benches import environment
from benches.gpu.box import Box


def run(box: Box) -> None:
    import torch

    found = environment.describe()
    bundle = Path(box.data).parent / "bundle.json"
    if bundle.is_file():
        # Neither git nor a compiler need be there; the wheel was built elsewhere.
        about = json.loads(bundle.read_text())
        found |= {"ctprune": about["ctprune"], "compilers": f"wheel: {about['compilers']}"}
    if box.device == "cuda":
        one = torch.cuda.get_device_properties(0)
        found["gpu"] = (
            f"{one.name}, {one.total_memory / 2**30:.0f} GiB, {one.multi_processor_count} multiprocessors, "
            f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        )
    box.write("environment", environment=found)
