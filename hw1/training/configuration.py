"""Everything that a search may choose about one network and its training."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from hw1.errors import InputError
from hw1.training.augmentation import Augmentation
from hw1.training.initialization import INITIALIZATIONS
from hw1.training.options import option, options_of, stored
from hw1.training.rules import OPTIMIZERS
from hw1.words import in_words

Schedule = Literal["constant", "step", "cosine", "one_cycle"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)
Checkpoint = Literal["best", "last"]
CHECKPOINTS: tuple[str, ...] = get_args(Checkpoint)


@dataclass(frozen=True)
class Configuration(Augmentation):
    """One network and its training; the fields of `Augmentation` besides.

    Attributes:
        model: keyword arguments of the model class: the architecture and its dropout.
        initialization: how weights are drawn; see `hw1.training.initialization`.
        input_scale: of the first layer's weights, whose units then bend at points spread over the
            inputs; None leaves it to ``initialization``. See `hw1.training.initialization`.
        epochs: passes over the training examples at most; the length of the schedule. A study sets
            it for all its trials.
        batch_size: examples in a batch. An epoch has n_rows / batch_size steps, rounded, and at
            least one, with batches of one size: batch_size, or somewhat less where the rows do
            not suffice, but at least three quarters of it unless all rows are fewer. The examples
            left over sit the epoch out. So a retraining on all training data has nearly the batches
            that were tuned on the examples of a fold.
        optimizer: as in ``torch.optim``, with its defaults for what is not named here.
        lr: the learning rate; the highest one of a schedule.
        momentum: of sgd and rmsprop.
        nesterov: of sgd; needs momentum.
        weight_decay: L2 as ``torch.optim`` applies it (adamw decouples it), on weights only:
            biases and batch-norm scales are left alone.
        l1: factor of the sum of absolute weights in the loss; weights only, too.
        l1_proximal: the same penalty as soft thresholding after each step, in which weights shrink
            by lr * l1_proximal and stop at zero. So many are exactly zero, which a gradient never
            makes them, and Adam does not scale it. An average (`ema`) has hardly any zeros.
        label_smoothing: of the cross-entropy; ignored in regression.
        max_grad_norm: the norm to which a model's gradient is clipped; None for no clipping.
        schedule: "step" divides lr by 10 after each third of the epochs; "cosine" anneals it to
            zero; "one_cycle" is ``torch.optim.lr_scheduler.OneCycleLR`` without momentum cycling.
        ema: the decay, per step, of an exponential moving average of the parameters and of batch
            norm's statistics; see `hw1.training.schedules.ema_shares`. The average is what is
            scored, and what becomes of a training, in place of the last step's. 0 for none.
        patience: epochs without a better mean validation score after which training stops; None for
            never.
        checkpoint: which epoch's network counts: the one with the "best" mean validation score, or
            the "last", which is what a schedule that anneals to zero is made for.

    Raises:
        InputError: a value is out of its range or not one of the names.
    """

    model: dict[str, Any] = option(dict, "architecture", "architecture")
    initialization: str = option(
        "default", "weight initialization", "optimization", choices=INITIALIZATIONS
    )
    input_scale: float | None = option(
        None, "scale of the first layer", "optimization", gt=0, later=True
    )
    epochs: int = option(100, "epochs", "optimization", ge=1)
    batch_size: int = option(64, "batch size", "optimization", ge=1)
    optimizer: str = option("adam", "optimizer", "optimization", choices=tuple(OPTIMIZERS))
    lr: float = option(1e-3, "learning rate", "optimization", gt=0)
    momentum: float = option(0.0, "momentum", "optimization", ge=0, lt=1)
    nesterov: bool = option(False, "Nesterov momentum", "optimization")
    weight_decay: float = option(0.0, "weight decay", "regularization", ge=0)
    l1: float = option(0.0, "L1 penalty", "regularization", ge=0)
    l1_proximal: float = option(0.0, "proximal L1 penalty", "regularization", ge=0, later=True)
    label_smoothing: float = option(0.0, "label smoothing", "regularization", ge=0, lt=1)
    max_grad_norm: float | None = option(None, "maximum gradient norm", "regularization", gt=0)
    schedule: Schedule = option(
        "constant", "learning-rate schedule", "optimization", choices=SCHEDULES
    )
    ema: float = option(0.0, "EMA decay", "regularization", ge=0, lt=1, later=True)
    patience: int | None = option(None, "early-stopping patience", "regularization", ge=1)
    checkpoint: Checkpoint = option(
        "best", "checkpoint", "optimization", choices=CHECKPOINTS, later=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise InputError("nesterov needs a momentum: give one above 0, or leave nesterov out")

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold; ``Configuration(**...)`` turns it back."""
        return stored(self)


OPTIONS = options_of(Configuration)
"""The words, group and range of every field, by its name."""


def words_of(name: str) -> str:
    """What a hyperparameter is called: by the option that ends its name, or by the name itself."""
    known = next((one for one in OPTIONS if name == one or name.endswith(f"_{one}")), "")
    rest = in_words(name.removesuffix(known))
    return rest + OPTIONS[known].words if known else rest
