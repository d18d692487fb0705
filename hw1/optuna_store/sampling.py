"""Search spaces, and CMA-ES without pickles."""

from typing import Any

import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


def carry_search_space(previous: BaseSampler | None, sampler: BaseSampler) -> None:
    """Give a sampler the parameters that the ``previous`` one has found in all trials.

    To find them among thousands of trials takes longer than to suggest.
    """
    known = getattr(previous, "_search_space", None)
    if isinstance(known, IntersectionSearchSpace) and hasattr(sampler, "_search_space"):
        sampler._search_space = known


class ReplayedCmaEs(CmaEsSampler):
    """Optuna's sampler, which finds its state anew from the trials in each call.

    Optuna's keeps a pickle of it in storage, and unpickling runs what a database says. Here the
    optimizer is told all generations again.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        self._replayed = study.direction, search_space
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        direction, search_space = self._replayed
        space = _SearchSpaceTransform(search_space, transform_step=True, transform_0_1=True)
        optimizer: Any = self._init_optimizer(space, direction)
        sign = 1 if direction == StudyDirection.MINIMIZE else -1
        generations: dict[Any, list[FrozenTrial]] = {}
        for trial in completed_trials:
            number = trial.system_attrs.get(self._attr_key_generation)
            generations.setdefault(number if isinstance(number, int) else None, []).append(trial)
        size = optimizer.population_size
        while len(told := generations.get(optimizer.generation, [])[:size]) == size:
            optimizer.tell([(space.transform(t.params), sign * t.values[0]) for t in told])
        return optimizer  # it has nothing to be told, and Optuna nothing to store
