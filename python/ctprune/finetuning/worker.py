"""The program of the processes that train with the first one: `python -m ctprune.finetuning.worker`."""

from __future__ import annotations

from typing import Any

from ctprune.pretraining.worker import take_part


def carry_out(order: dict[str, Any]) -> None:
    """Take part in the fine-tuning that an order describes."""
    from ctprune.finetuning.config import FinetuneConfig
    from ctprune.finetuning.run import take_part_in
    from ctprune.pretraining.launch import Launch

    take_part_in(
        order["data"],
        FinetuneConfig(**order["config"]),
        out=order["out"],
        split=order["split"],
        labels=order["labels"],
        launch=Launch(**order["launch"]),
    )


if __name__ == "__main__":
    take_part(carry_out)
