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


#: What labels are: one of several classes, any of several labels, a level of an ordered scale, or a number.
CLASSES, MULTI_LABEL, ORDINAL, REGRESSION = "classes", "multi-label", "ordinal", "regression"
TARGETS = (CLASSES, MULTI_LABEL, ORDINAL, REGRESSION)

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


def column_option(name: str, *, panel: str | None = None) -> str | None:
    """A field for what a table of labels calls its path, label, split or patient."""
    example = "a template of columns such as {id:03d}.png" if name == "path" else "a template"
    return option(
        None,
        default_text=name,
        metavar="COLUMN",
        panel=panel,
        help=f"Table of labels: column of the {name}, or {example}.",
    )
