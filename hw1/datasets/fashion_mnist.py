"""FashionMNIST through torchvision, downloaded once into the data folder."""

from http.client import HTTPException
from pathlib import Path

import torch

from hw1.datasets.dataset import Dataset, Part
from hw1.errors import InputError


def load(part: Part, data_dir: Path) -> Dataset:
    """60,000 training or 10,000 test images of 28 × 28 pixels; 10 classes.

    Looks for ``data_dir/FashionMNIST/raw`` and downloads what is missing.

    Raises:
        InputError: the files are missing and cannot be downloaded, or they are damaged; the
            message says where to put which files.
    """
    # torchvision takes seconds to import, and only this data set needs it.
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import check_integrity

    folder = Path(data_dir) / "FashionMNIST" / "raw"
    archives = [name for name, _ in FashionMNIST.resources]
    names = [name.removesuffix(".gz") for name in archives]
    for name in (*names, *archives):
        if (folder / name).exists() and not (folder / name).is_file():
            raise InputError(f"{folder / name} is not a regular file: remove it")
    if not all(check_integrity(str(folder / name)) for name in names):
        try:
            FashionMNIST(str(data_dir), download=True)
        except (HTTPException, OSError, RuntimeError) as error:  # URLError is an OSError
            # Of torchvision's account of each mirror the last one says enough.
            reason = " ".join(str(error).rpartition("got:")[2].split())
            raise InputError(
                f"FashionMNIST is not in {folder} and cannot be downloaded ({reason}): put "
                f"{', '.join(archives)} there (as they are, or unpacked), or name the folder "
                "that holds FashionMNIST/raw with --data-dir"
            ) from error
    try:
        data = FashionMNIST(str(data_dir), train=part == "train", download=False)
    except Exception as error:  # torchvision raises whatever a damaged file leads it to
        reason = " ".join(str(error).split())
        raise InputError(
            f"the FashionMNIST files in {folder} are damaged ({reason}): delete them, and they "
            "are downloaded again"
        ) from error
    images, labels = data.data, data.targets
    wrong = None
    if len(images) != len(labels):
        wrong = f"do not belong together ({len(images)} images, {len(labels)} labels)"
    elif images.dtype != torch.uint8 or images.shape[1:] != (28, 28):
        shape = " × ".join(map(str, images.shape[1:]))
        wrong = f"hold images of {shape} pixels of type {images.dtype}, not of 28 × 28 bytes"
    elif labels.max() >= len(data.classes):  # torchvision sees to it that they are bytes
        wrong = f"hold the label {int(labels.max())}, where there are {len(data.classes)} classes"
    if wrong is not None:
        raise InputError(
            f"the FashionMNIST files in {folder} {wrong}: delete them, and they are downloaded "
            "again"
        )
    return Dataset(
        name="FashionMNIST",
        task="classification",
        inputs=images[:, None],
        targets=labels.long(),
        class_names=tuple(data.classes),
        target_name="article",
    )
