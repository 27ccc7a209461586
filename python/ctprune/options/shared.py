"""Options that several stages have: said once for all."""

from __future__ import annotations

from ctprune.environment.threads import MAX_THREADS
from ctprune.options.option import option


def threads_option(*, what: str = "Threads", panel: str | None = None) -> int:
    """A field for the number of threads, on which no result depends."""
    return option(
        0,
        decides=False,
        low=0,
        high=MAX_THREADS,
        expected=f"0 (one per core) to {MAX_THREADS}",
        panel=panel,
        help=f"{what}; 0 is one per core.",
        more="The result does not depend on it.",
    )


#: Devices of networks; `auto` is a GPU where there is one.
DEVICES = ("auto", "cpu", "cuda")

#: Arithmetic of networks: mixed precision in bfloat16 or float16, or 32 bits throughout. `auto` is bf16 on GPUs
#: that have it, fp16 on others, 32 on a CPU.
PRECISIONS = ("auto", "bf16", "fp16", "32")


def device_option(*, panel: str | None = None) -> str:
    """A field for the device that computes."""
    return option(
        "auto", decides=False, choices=DEVICES, panel=panel, help="Device; auto uses a GPU if there is one."
    )
