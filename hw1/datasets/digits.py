"""The 1,797 handwritten digits that scikit-learn ships: real images that need no network."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hw1.datasets.dataset import Dataset, Part

N_TEST = 360


def load(part: Part, data_dir: Path) -> Dataset:
    """1,437 training or 360 test images of 8 × 8 gray levels, 0 to 16; 10 classes.

    scikit-learn gives no test part: one fifth, stratified, is set aside, always the same data.
    ``data_dir`` is not used.
    """
    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)), test_size=N_TEST, random_state=0, stratify=digits.target
    )
    rows = np.sort(train if part == "train" else test)
    return Dataset(
        name="digits",
        task="classification",
        inputs=torch.from_numpy(digits.images[rows]).to(torch.uint8)[:, None],
        targets=torch.from_numpy(digits.target[rows]).long(),
        class_names=tuple(str(digit) for digit in digits.target_names),
        target_name="digit",
    )
