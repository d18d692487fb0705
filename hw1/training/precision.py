"""The precision of convolutions and matrix products."""

from pathlib import Path
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def choose_precision(device: torch.device) -> Precision:
    """The precision in which a device computes convolutions and matrix products fastest.

    bfloat16 where the hardware has it: a GPU that says so, or a processor with AVX512-BF16 or
    AMX, which only Linux tells.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & processor_flags() else "float32"


def processor_flags() -> set[str]:
    """What the processor can do, in Linux's words; nothing on other systems."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()
