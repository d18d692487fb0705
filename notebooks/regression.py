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
# # Regression: from a study to the fitted function
#
# A network is to learn a function of one input from noisy points that leave gaps. A **study** tries
# many networks and training methods, and scores each by cross-validation. This notebook runs it,
# asks how good its best network really is, and looks inside.
#
# With the default study it takes less than a minute on two processor cores. All results are stored,
# so that running the notebook again is quicker.

# %%
import pandas as pd
import plotly.express as px
import torch
from IPython.display import Markdown, display

import hw1
from hw1.analysis import (
    compare,
    evaluate,
    load_best,
    scores_table,
    search_figures,
    training_figures,
)
from hw1.analysis.figures.beside import beside_figures
from hw1.analysis.figures.inside import inside_figures
from hw1.analysis.figures.search import empirical_distribution
from hw1.analysis.network import predict

pd.options.display.float_format = "{:.4g}".format

# %% [markdown]
# For data of your own, such as the CSV files of a course, set `OPTIONS = {"train_csv": "train.csv",
# "test_csv": "test.csv", "trials": 30}`, and give the two studies new names: data belong to a study
# for good. The fitted function needs data with one input; all else works with any number.

# %% tags=["parameters"]
DEFINITION = "regression_mlp"  # a study in ../studies: the data, the model, the search space
STUDY = "regression_mlp-tpe"  # stored under this name
OTHER = "regression_mlp-random"  # the same search by chance alone
OPTIONS = {"trials": 30}  # as `help(hw1.run)` lists them
REPEATS = 5  # of the cross-validation
SEEDS = 5  # networks that are trained on all training data and scored on the test examples
NESTED = None  # (5, 3): repeat the whole search outside each of 5 folds, with 3 folds

# %% [markdown]
# ## Run the studies
#
# The same search twice: by TPE, which tries what resembles the trials that were good, and at
# random. In a terminal the same is `python run_study.py run regression_mlp`. A study that is there
# already is continued, unless it is complete.

# %%
results = hw1.run(DEFINITION, sampler="tpe", name=STUDY, **OPTIONS)

# %%
other = hw1.run(DEFINITION, sampler="random", name=OTHER, **OPTIONS)

# %% [markdown]
# ## The data
#
# The training examples, all that the search has seen. Look for the gaps: there, nothing but the
# form of the network says what to predict.

# %%
rows = results.dataset.to(torch.device("cpu"))
display(Markdown(f"{len(rows)} training examples of `{rows.name}`"))
px.scatter(
    x=rows.inputs[:, 0].numpy(),
    y=rows.targets[:, 0].numpy(),
    labels={"x": "input", "y": "target"},
    template="simple_white",
)

# %% [markdown]
# ## The search
#
# - **History**: does the best value still fall at the end? Then more trials would help.
# - **Learning curves**: bad trials are pruned early. Does the best one end flat, or still falling?
# - **Importances, slices, contours**: which parameters matter, and where are all trials good? If
#   the best trials are at the edge of a range, the range is too narrow.
# - **Distribution**: how rare are good trials?

# %%
for figure in search_figures(results):
    display(figure)

# %% [markdown]
# The best parameters, for each sampler:

# %%
pd.DataFrame({r.name: r.best_params for r in (results, other)}, dtype=object)

# %% [markdown]
# ## How good is it really?
#
# The objective value of the best trial is optimistically biased: it is the best of many noisy
# values. So the best configuration is scored again, in two ways:
#
# - **Cross-validation** on new splits, repeated. The number of epochs is fixed beforehand, so no
#   fold influences where training stops. But the hyperparameters were chosen on the same data, so
#   even this estimate is slightly optimistic. `NESTED` avoids that, and takes many times as long.
# - **Test examples**, which no search has seen. The network is trained on all training examples
#   from several seeds, and each of these networks is scored once.

# %%
evaluation = evaluate(results, n_repeats=REPEATS, n_seeds=SEEDS, nested=NESTED)
estimates = {"in the search": {"mean": evaluation.value}}
for name in ("cross_validation", "nested", "test"):
    if part := getattr(evaluation, name):
        estimates[name.replace("_", "-")] = vars(part.estimate)
if evaluation.test:
    estimates["test, ensemble"] = vars(evaluation.test.ensemble_estimate)
pd.DataFrame(estimates).transpose()

# %% [markdown]
# `low` and `high` are the ends of a 95% confidence interval of the mean. What does it cover?
#
# - **Cross-validation**: other examples from the same source, and other splits. The training sets
#   of the folds overlap, so the scores are not independent. The interval accounts for that (Nadeau
#   and Bengio) and is wider than mean ± 2 std / √n.
# - **Test**: other test examples of the same kind and other seeds, with the same training examples.
#   The interval of the ensemble covers only other test examples.
# - **Nested**, if you have set `NESTED`: the same as cross-validation, but for the whole search:
#   how good is a network that such a search finds?
#
# The cross-validation and test scores need not agree. In the default data the training targets are
# noisy and the test targets are not, and the test examples fill the gaps: the cross-validation
# error includes the noise, but not the error in the gaps.
#
# The **ensemble** is the mean prediction of the networks of all seeds and of the fold networks of
# one cross-validation, which differ more. Its mean squared error is never above the average of its
# members', because their errors partly cancel.
#
# Test examples are for a single look at the end. If you look, change something and look again, you
# are searching on them. Every look is counted:

# %%
display(Markdown(f"Looks at the test examples, with this study: **{evaluation.n_tests}**"))

# %% [markdown]
# ## Beside scikit-learn
#
# Its models, on the same folds and test examples: what would one line have given? The sentence
# below the figure says whether the network outperforms the best of them by more than chance.

# %%
for figure in beside_figures(evaluation):
    display(figure)

# %%
scores_table(evaluation)[["cv_mean", "cv_low", "cv_high", "test_mean", "difference_mean", "p"]]

# %% [markdown]
# ## Two samplers
#
# First the searches: for each value, what share of the completed trials is at most that high?
# Errors are better when they are low, so the curve further to the left has more good trials. Pruned
# trials are in neither.

# %%
empirical_distribution([results.study, other.study])

# %% [markdown]
# Then the best configuration of each, on the same new splits:

# %%
comparison = compare([results, other], n_repeats=REPEATS)
display(Markdown(comparison.pairs[0].sentence))
pd.DataFrame({name: vars(part.estimate) for name, part in comparison.studies.items()}).transpose()

# %% [markdown]
# The two confidence intervals may overlap although the difference is significant: both networks are
# scored on the same folds, and the test looks at the differences fold by fold. If the difference is
# not significant, that does not show that the networks are equally good. It means that there are
# too few examples to decide.
#
# Also, this compares two **networks that were found**, not two samplers. A single search of each
# may have been lucky. To compare samplers, run each with at least three seeds (`--seed 1 --name
# tpe-1`, ...) and pass all studies to `hw1.analysis.compare_searches`, or to `compare --searches`
# in the terminal.

# %% [markdown]
# ## How it trains, and the fitted function
#
# The best trial is trained again on the folds of the study.
#
# - **Scores by fold**: do the best trials differ more than the folds of a single trial?
# - **The fitted function**: near training examples, the networks of the folds should agree. Where
#   they disagree, as in gaps and at the ends, trust none of them. Even where they agree, they may
#   all be wrong, because they share one architecture: are the test examples in the gaps within
#   their range?
# - **Predicted vs. actual**: a pattern in the residuals is structure that the network has missed.

# %%
for figure in training_figures(results, results.trial()):
    display(figure)

# %% [markdown]
# ## The network itself
#
# `load_best` trains the best configuration on all training data. The network comes with its
# normalization: inputs and predictions are in the units of the data. It is the one that `evaluate`
# scored first.

# %%
best = load_best(results)
display(best.configuration)
display(best.model)

# %% [markdown]
# Predictions for new inputs. The first and last two are outside of the training examples: there the
# network goes on in some way, and nothing in the data says that it is right.

# %%
low, high = rows.inputs.min(), rows.inputs.max()
new = torch.linspace(low - (high - low) / 2, high + (high - low) / 2, 9)[:, None]
pd.DataFrame(torch.cat([new, predict(best.model, new)], 1), columns=["input", "prediction"])

# %% [markdown]
# ## Inside the network
#
# Each figure has a name; one that makes no sense for a network is not made, and its cell shows
# nothing. Networks with several inputs have more of them: see all with `for figure in
# inside.values(): display(figure)`.

# %%
made = inside_figures(best.model, best.initial, results.dataset, seed=results.settings.seed)
inside = {figure.name: figure for figure in made}
list(inside)

# %% [markdown]
# **Weight histograms**, before and after training: which layers have changed, and how? L1 draws
# many weights close to zero, L2 makes the large ones smaller.

# %%
inside.get("inside_weights")

# %% [markdown]
# **Activation profiles**: each row is a hidden unit; the color shows its activation along the
# input. A unit of the first layer rises or falls in one place. Units of deeper layers combine
# several of these and are active on one or more intervals. The function at the top is a weighted
# sum of the activations of the last hidden layer. Look at the gaps: the units continue smoothly
# there, and nothing else determines the function.

# %%
inside.get("inside_units")

# %% [markdown]
# **Dead units** put out the same for every example, and the network does without them. Only some
# activations, such as ReLU, can die. Many dead units may mean that the learning rate was too high,
# or that a narrower network would do.

# %%
inside.get("inside_unused")

# %% [markdown]
# ## Elsewhere
#
# `export` writes this network to a file, and `predict` uses it without the study:
#
# ```sh
# python run_study.py export regression_mlp-tpe --output network.safetensors
# python run_study.py predict network.safetensors rows.csv
# ```
