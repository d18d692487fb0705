"""Everything that a search may choose about one network and its training."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from hw1.errors import InputError, choose
from hw1.models.initialization import INITIALIZATIONS, Initialization

Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "one_cycle"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)


@dataclass(frozen=True)
class Configuration:
    """One network and its training.

    Attributes:
        model: keyword arguments of the model family: the architecture and its dropout.
        initialization: how weights are drawn; see `hw1.models.initialization`.
        epochs: passes over the training rows at most; the length of the schedule. A study sets
            it for all its trials.
        batch_size: examples in a batch. An epoch has n_rows / batch_size steps, rounded, and at
            least one, with batches of one size: batch_size, or somewhat less where the rows do
            not suffice, but at least three quarters of it unless all rows are fewer. The rows
            that are over sit the epoch out. So a retraining on all rows has nearly the batches
            that were tuned on the rows of a fold.
        optimizer: as in ``torch.optim``, with its defaults for what is not named here.
        lr: the learning rate; the highest one of a schedule.
        momentum: of sgd and rmsprop.
        nesterov: of sgd; needs momentum.
        weight_decay: L2 as ``torch.optim`` applies it (adamw decouples it), on weights only:
            biases and batch-norm scales are left alone.
        l1: factor of the sum of absolute weights in the loss; weights only, too.
        label_smoothing: of the cross-entropy; ignored in regression.
        max_grad_norm: the norm to which a model's gradient is clipped; None for no clipping.
        schedule: "step" divides lr by 10 after each third of the epochs; "cosine" anneals it to
            zero; "one_cycle" is ``torch.optim.lr_scheduler.OneCycleLR`` without momentum cycling.
        patience: epochs without a better fold mean after which training stops; None for never.
        flip: whether images are mirrored left to right half of the time.
        shift: pixels by which images are moved at most, each way; what moves in is black.
        erase: probability that a random rectangle of an image is made black. Rows that are no
            images are never changed.

    Raises:
        InputError: a value is out of its range or not one of the names.
    """

    model: dict[str, Any] = field(default_factory=dict)
    initialization: Initialization = "default"
    epochs: int = 100
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    l1: float = 0.0
    label_smoothing: float = 0.0
    max_grad_norm: float | None = None
    schedule: Schedule = "constant"
    patience: int | None = None
    flip: bool = False
    shift: int = 0
    erase: float = 0.0

    def __post_init__(self) -> None:
        choose("initialization", self.initialization, INITIALIZATIONS)
        choose("optimizer", self.optimizer, OPTIMIZERS)
        choose("schedule", self.schedule, SCHEDULES)
        in_range = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "lr": self.lr > 0,
            "momentum": 0 <= self.momentum < 1,
            "nesterov": not self.nesterov or self.momentum > 0,
            "weight_decay": self.weight_decay >= 0,
            "l1": self.l1 >= 0,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "max_grad_norm": self.max_grad_norm is None or self.max_grad_norm > 0,
            "patience": self.patience is None or self.patience >= 1,
            "shift": self.shift >= 0,
            "erase": 0 <= self.erase <= 1,
        }
        for name, ok in in_range.items():
            if not ok:
                raise InputError(f"{name} = {getattr(self, name)!r} is out of its range")

    @property
    def augments(self) -> bool:
        """Whether images are changed at random."""
        return self.flip or self.shift > 0 or self.erase > 0

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold; ``Configuration(**...)`` turns it back."""
        return asdict(self)
