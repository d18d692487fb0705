"""FashionMNIST through torchvision, downloaded once into the data folder."""

from http.client import HTTPException
from pathlib import Path

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
    except (AssertionError, KeyError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the FashionMNIST files in {folder} are damaged ({error}): delete them, and they "
            "are downloaded again"
        ) from error
    if len(data.data) != len(data.targets):
        raise InputError(
            f"the FashionMNIST files in {folder} do not belong together ({len(data.data)} images, "
            f"{len(data.targets)} labels): delete them, and they are downloaded again"
        )
    return Dataset(
        name="FashionMNIST",
        task="classification",
        inputs=data.data[:, None],
        targets=data.targets.long(),
        class_names=tuple(data.classes),
        target_name="article",
    )
