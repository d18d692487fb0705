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
# # The best hyperparameters of all studies
#
# All trials of all studies are in one database. This notebook answers three questions: which
# studies are there, what did each of them find, and how do the hyperparameters relate to the
# objective value?
#
# It trains nothing, so there must be a study already: `make study` in the project's folder runs the
# first one in less than a minute.

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
# One row per study. `completed` trials were trained to the end; `pruned` trials were stopped early
# because they were worse than others at the same epoch, and have no objective value.

# %%
studies = list_studies(STORAGE)
studies = studies[~studies["part_of_nested"]]  # the searches within a nested cross-validation
studies[["definition", "sampler", "metric", "state", "completed", "pruned", "best_value"]]

# %% [markdown]
# A best value is the mean validation score of the best of many trials. Keep two things in mind:
#
# - Compare values only between studies with the **same data and metric**. For a mean squared error
#   lower is better, for an accuracy higher is better.
# - The best of many is **optimistically biased**: among trials that are in truth equally good, the
#   luckiest wins. To estimate how good the network is on new splits and on the test examples, use
#   `evaluate`; see the notebooks `regression` and `fashion_mnist`.

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
# Are these trials really different? Here are their scores in each fold. Compare them within a
# column: in each fold, all trials are scored on the same data. If the best trial does not win in
# most folds, the ranking is largely due to chance. A hyperparameter on which these trials disagree
# probably matters little by itself.

# %%
folds = pd.DataFrame(top["fold_scores"].tolist(), index=top.index)
folds.rename(columns=lambda fold: f"fold {fold + 1}")

# %% [markdown]
# ## How do the hyperparameters relate to the objective value?
#
# First the numeric ones: the rank correlation (Spearman) of each hyperparameter with the objective
# value, over completed trials. It is 1 if the value always rises with the hyperparameter, −1 if it
# always falls, and near 0 if there is no trend, or a trend that reverses.

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
# Interpret these correlations with care:
#
# - Of 8 hyperparameters that have no effect on the value, the one with the largest correlation over
#   10 trials reaches about ±0.6 by chance alone.
# - Pruned trials are left out, and they were the worse ones.
# - A sampler that learns, such as TPE, tries good choices of several hyperparameters together. The
#   correlation then shows where the search went, not what one hyperparameter does.
#
# Then the categorical ones: how many trials used each choice, and their objective values. `NaN`
# stands for the choice `None`, or for trials without this hyperparameter.

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
