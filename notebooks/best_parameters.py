# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The best parameters of all studies
#
# All trials of all studies are in one database. This notebook asks it three things: which studies
# are there, what has each found, and what have the parameters to do with the value?
#
# It trains nothing. The studies must be there already: `make study` in the project's folder makes
# the first one in less than a minute.

# %%
import os

import optuna
import pandas as pd
from IPython.display import display

from hw1.analysis import list_studies, open_study, search_figures

pd.options.display.float_format = "{:.4g}".format

# %% tags=["parameters"]
STORAGE = os.environ.get("OPTUNA_STORAGE") or "sqlite:///../storage/studies.db"
STUDY = "regression_mlp-tpe"  # the one to look at closely
TOP = 5  # trials to show side by side

# %% [markdown]
# ## The studies
#
# One row a study. `completed` trials were trained to their end; `pruned` ones were given up because
# they were worse than the others after as many epochs, and have no value.

# %%
studies = list_studies(STORAGE)
studies = studies[~studies["part_of_nested"]]  # the searches within a nested cross-validation
studies[["definition", "sampler", "metric", "state", "completed", "pruned", "best_value"]]

# %% [markdown]
# A best value is the mean over the folds of the best of many trials. Two things to keep in mind:
#
# - Compare values of the **same data and metric** only. A mean squared error is better when it is
#   low, an accuracy when it is high.
# - The best of many is **too good**: among trials that are equally good in truth, the luckiest
#   wins. What the network is worth on new splits and on the test examples, `evaluate` tells; see
#   the notebooks `regression` and `fashion_mnist`.

# %% [markdown]
# ## The best parameters, side by side
#
# One column a study. Look for rows in which studies of the same problem agree: what several
# independent searches have found is less likely to be chance. `NaN` stands where the best trial did
# not ask for a parameter, as for the momentum of an optimizer that has none.

# %%
named = studies.index[studies["best_trial"].notna()]
best = {name: open_study(name, storage=STORAGE).trial() for name in named}
pd.DataFrame(
    {name: {"value": t.value, "trial": t.number, **t.params} for name, t in best.items()},
    dtype=object,
)

# %% [markdown]
# ## One study: all trials
#
# `results.trials` is a DataFrame with one row a trial; its parameters are in the columns
# `params_...`. From here on, everything is plain pandas.

# %%
results = open_study(STUDY, storage=STORAGE)
trials = results.trials
display(results.metric)
trials["state"].value_counts().to_frame()

# %% [markdown]
# ## The top trials
#
# The best trials, the best first. `std` is the standard deviation of the scores between the folds.

# %%
top = trials.loc[[trial.number for trial in results.top(TOP)]]
top[["value", "std", "best_epoch", "n_parameters", "seconds"]]

# %%
top.filter(like="params_").transpose()

# %% [markdown]
# Are they really different? Here are their scores in each fold. Compare down the columns: in a fold
# all trials are scored on the same data. If the best trial does not win in most of the folds, the
# order of these trials is chance to a good part. A parameter on which they disagree probably
# matters little by itself.

# %%
folds = pd.DataFrame(top["fold_scores"].tolist(), index=top.index)
folds.rename(columns=lambda fold: f"fold {fold + 1}")

# %% [markdown]
# ## What have the parameters to do with the value?
#
# First the numbers: the rank correlation (Spearman) of each with the value, over completed trials.
# It is 1 where the value always rises with the parameter, −1 where it always falls, and near 0
# where there is no trend, or one that goes up and down again.

# %%
completed = trials[trials["state"] == "completed"]
numeric = completed.filter(like="params_").select_dtypes("number")
numeric = numeric.loc[:, numeric.nunique() > 1]
pd.DataFrame(
    {
        "rank correlation": numeric.corrwith(completed["value"], method="spearman"),
        "trials": numeric.count(),
    }
).sort_values("rank correlation", key=abs, ascending=False)

# %% [markdown]
# Be careful with it:
#
# - Of 8 parameters that have nothing to do with the value, the one with the largest correlation
#   over 10 trials has about 0.6, up or down, by chance alone.
# - Pruned trials are left out, and they were the worse ones.
# - A sampler that learns, such as TPE, tries good choices of several parameters together. The
#   correlation then shows where the search went, not what one parameter does.
#
# Then the categories: how many trials have tried each choice, and their values. `NaN` stands for
# the choice `None`, or for trials that did not ask for the parameter.

# %%
for name in completed.filter(like="params_").columns.difference(numeric.columns):
    if completed[name].nunique(dropna=False) > 1:
        values = completed.groupby(name, dropna=False)["value"]
        display(values.agg(["count", "min", "median", "max"]))

# %% [markdown]
# ## The same as figures
#
# The importances say how strongly each parameter decides whether a trial is among the best tenth.
# Slices and contours show the value over one parameter and over two. Look for regions where all
# trials are good, not for single points.

# %%
for figure in search_figures(results):
    if figure.name in ("search_importances", "search_slices", "search_contour", "search_parallel"):
        display(figure)

# %% [markdown]
# ## Plain Optuna
#
# Studies are ordinary Optuna studies: everything that Optuna offers works, too, without hw1. One
# difference: Optuna gives a pruned trial the last value that it had reported, `results.trials`
# none.

# %%
study = optuna.load_study(study_name=STUDY, storage=STORAGE)
study.trials_dataframe(attrs=("number", "value", "state", "duration", "params")).head()

# %%
pd.Series(study.best_params, name=f"trial {study.best_trial.number}").to_frame()

# %%
optuna.visualization.plot_edf(study)
