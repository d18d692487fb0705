"""What an ablation changes in a configuration, one thing at a time."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hw1.datasets import Dataset
from hw1.errors import choose
from hw1.tasks import TASKS
from hw1.training import Configuration
from hw1.training.augmentation import VIEWS
from hw1.training.configuration import CHECKPOINTS, OPTIONS, SCHEDULES
from hw1.training.networks import ModelClass
from hw1.training.rules import OPTIMIZERS
from hw1.words import in_words, value_text

MOMENTUM = 0.9
RATE_STEP = 3.0
"""From one learning rate to the next."""
RATES = (1 / RATE_STEP, 1, RATE_STEP)
"""The first ones to be tried, around the expected learning rate of an optimizer."""
RATE_OF = {("sgd", False): 100.0, ("sgd", True): 10.0, ("rmsprop", False): 1 / 3}
"""The expected learning rate by optimizer and whether it has momentum, relative to Adam's: usual
values are 0.1, 0.01 and 0.0003 where Adam's is 0.001."""
STRENGTHS: dict[str, tuple[float, ...]] = {
    "l1": (0.0, 1e-5, 1e-4, 1e-3, 1e-2),
    "l1_proximal": (0.0, 1e-3, 1e-2, 1e-1),
    "weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    "dropout": (0.0, 0.2, 0.5),
    "label_smoothing": (0.0, 0.05, 0.1, 0.2),
    "ema": (0.0, 0.9, 0.99, 0.999),
}
PENALTIES = ("l1", "l1_proximal")
"""The groups whose purpose is that weights are zero."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A configuration that differs from the base in one thing.

    Attributes:
        group: what is changed; a name in `GROUPS`, or empty for the base itself.
        name: to what.
        configurations: one, or the same with several learning rates, from which the search for the
            best one begins.
        place: in its group, from 0.
    """

    group: str
    name: str
    configurations: tuple[Configuration, ...]
    place: int = 0


@dataclass(frozen=True)
class Base:
    """The configuration from which all others differ.

    Attributes:
        configuration: of the networks.
        dataset: the training examples.
        arguments: those that its model class takes.
    """

    configuration: Configuration
    dataset: Dataset
    arguments: frozenset[str]

    @classmethod
    def of(cls, configuration: Configuration, dataset: Dataset, model: ModelClass) -> "Base":
        """That of a model class."""
        return cls(configuration, dataset, frozenset(inspect.signature(model).parameters))

    def changed(self, group: str, name: str, **changes: Any) -> Variant:
        """The base with other fields."""
        return Variant(group, name, (replace(self.configuration, **changes),))

    def with_values(self, group: str, field: str, values: Sequence[Any]) -> list[Variant]:
        """The base with each of several values of a field, and with its own."""
        own = getattr(self.configuration, field)
        every = values if own in values else [own, *values]
        if all(isinstance(v, int | float) for v in every):
            every = sorted(every)
        return [self.changed(group, in_words(value_text(v)), **{field: v}) for v in every]

    def with_argument(self, group: str, argument: str, values: Sequence[Any]) -> list[Variant]:
        """The same of an argument of the model class; none if it does not take it."""
        if argument not in self.arguments:
            return []
        model = self.configuration.model
        own = model.get(argument, values[0])
        every = values if own in values else sorted([own, *values])
        return [
            self.changed(group, value_text(v), model=model if v == own else model | {argument: v})
            for v in every
        ]


def variants(base: Base, only: Sequence[str] = ()) -> list[Variant]:
    """The base, then everything that is changed in it, group by group.

    What a task, the data or a model class do not take is left out. A variant that is the base
    itself stands among the others of its group.

    Args:
        base: from which they differ.
        only: names in `GROUPS`; all without any.

    Raises:
        InputError: one of them is no group.
    """
    chosen = [choose("group", name, GROUPS) for name in only] or list(GROUPS)
    found = [Variant("", "base", (base.configuration,))]
    for group in GROUPS:
        if group in chosen:
            several = GROUPS[group](base)
            if len(several) > 1:
                found += [replace(one, place=i) for i, one in enumerate(several)]
    return found


def _optimizers(base: Base) -> list[Variant]:
    """Each with learning rates around the expected one, but that of the base with its own."""
    own = base.configuration
    expected = own.lr / RATE_OF.get((own.optimizer, own.momentum > 0), 1.0)
    kinds = [("sgd", 0.0, False), ("sgd", MOMENTUM, False), ("sgd", MOMENTUM, True)]
    kinds += [(name, 0.0, False) for name in OPTIMIZERS if name != "sgd"]
    found = []
    for optimizer, momentum, nesterov in kinds:
        name = OPTIMIZERS[optimizer].words
        if momentum:
            name += f" with {'Nesterov ' if nesterov else ''}momentum"
        if (optimizer, momentum > 0, nesterov) == (own.optimizer, own.momentum > 0, own.nesterov):
            found.append(Variant("optimizer", name, (own,)))
            continue
        usual = expected * RATE_OF.get((optimizer, momentum > 0), 1.0)
        rates = [float(f"{usual * factor:.2g}") for factor in RATES]
        other = replace(own, optimizer=optimizer, momentum=momentum, nesterov=nesterov)
        several = tuple(replace(other, lr=rate) for rate in rates)
        found.append(Variant("optimizer", name, several))
    return found


def _schedules(base: Base) -> list[Variant]:
    own = base.configuration
    return [
        base.changed(
            "schedule",
            in_words(name),
            schedule=name,
            patience=own.patience if name == own.schedule else None,
        )
        for name in SCHEDULES
    ]


def _early_stopping(base: Base) -> list[Variant]:
    """When training ends: at the best epoch, the last one, or after a patience."""
    group, own = "early_stopping", base.configuration
    found = [
        base.changed(group, f"{name} epoch", patience=None, checkpoint=name) for name in CHECKPOINTS
    ]
    patience = max(5, own.epochs // 10)
    for name, checkpoint, epochs in (
        ("best epoch", "best", None),
        ("last epoch", "last", None),
        (f"patience {patience}", "best", patience),
    ):
        words = f"constant rate, {name}"
        found.append(
            base.changed(group, words, schedule="constant", checkpoint=checkpoint, patience=epochs)
        )
    different: dict[Any, Variant] = {}
    for one in found:
        different.setdefault(str(one.configurations), one)
    return list(different.values())


def _augmentations(base: Base) -> list[Variant]:
    if len(base.dataset.input_shape) != 3:
        return []
    own = base.configuration
    found = [base.changed("augmentation", "as the base")]
    for field, on in (("flip", True), ("shift", 2), ("erase", 0.25)):
        value = getattr(own, field)
        name = f"{'without' if value else 'with'} {OPTIONS[field].words}"
        found.append(base.changed("augmentation", name, **{field: type(on)(0) if value else on}))
    if own.flip != "alternating":
        found.append(base.changed("augmentation", "alternating flips", flip="alternating"))
    return found


def _views(base: Base) -> list[Variant]:
    has_images = len(base.dataset.input_shape) == 3
    return base.with_values("views", "views", VIEWS) if has_images else []


def _of_classes(base: Base) -> list[Variant]:
    if TASKS[base.dataset.task].normalizes_targets:
        return []
    return _strengths("label_smoothing")(base)


def _strengths(field: str) -> Callable[[Base], list[Variant]]:
    def several(base: Base) -> list[Variant]:
        if field not in OPTIONS:
            return base.with_argument(field, field, STRENGTHS[field])
        return base.with_values(field, field, STRENGTHS[field])

    return several


GROUPS: dict[str, Callable[[Base], list[Variant]]] = {
    "optimizer": _optimizers,
    "schedule": _schedules,
    "initialization": lambda base: base.with_values(
        "initialization", "initialization", OPTIONS["initialization"].choices
    ),
    "l1": _strengths("l1"),
    "l1_proximal": _strengths("l1_proximal"),
    "weight_decay": _strengths("weight_decay"),
    "dropout": _strengths("dropout"),
    "label_smoothing": _of_classes,
    "clipping": lambda base: base.with_values("clipping", "max_grad_norm", (None, 1.0)),
    "batch_norm": lambda base: base.with_argument("batch_norm", "batch_norm", (False, True)),
    "augmentation": _augmentations,
    "views": _views,
    "ema": _strengths("ema"),
    "early_stopping": _early_stopping,
}
"""What can be changed: variants of a base, none where it does not apply."""
GROUP_WORDS = {
    "l1": "L1 penalty",
    "l1_proximal": "proximal L1 penalty",
    "clipping": "gradient clipping",
    "views": OPTIONS["views"].words,
    "ema": "averaged weights",
}
"""What groups are called, where that is not their name."""


def group_words(group: str) -> str:
    """What a group is called in a sentence."""
    return GROUP_WORDS.get(group, in_words(group))
