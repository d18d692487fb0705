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
# # FashionMNIST: from a study to receptive fields
#
# Images of 28 × 28 pixels are classified into ten kinds of clothing. This notebook searches for the
# best convolutional network, estimates how good it really is and whether it beats a network without
# convolutions, shows which classes are confused, and looks at what the layers have learned.
#
# With the defaults it takes 10 to 20 minutes on two processor cores, most of it for training. All
# scores are stored, so that running the notebook again is quicker. The images are downloaded once.

# %%
import pandas as pd
import plotly.express as px
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
from hw1.analysis.network import predict

pd.options.display.float_format = "{:.4g}".format

# %% [markdown]
# The defaults are small: 12 trials of a few epochs, on 10,000 of the 60,000 training images. For
# results worth reporting, increase all three, and give the studies new names: the data of a study
# cannot be changed later.

# %% tags=["parameters"]
DEFINITION = "fashion_cnn"  # a study in ../studies: the data, the model, the search space
STUDY = "fashion_cnn-random"  # stored under this name
BASELINE_DEFINITION = "fashion_mlp"
BASELINE = "fashion_mlp-random"
OPTIONS = {"sampler": "random", "trials": 12, "train_size": 10_000, "n_splits": 3, "epochs": 6}
REPEATS = 3  # of the cross-validation
SEEDS = 3  # networks that are trained on all training data and scored on the test examples

# %% [markdown]
# ## Run the studies
#
# A convolutional network, and a network of dense layers on the same data to compare it with. If a
# study is there already, it is continued, unless it is complete.

# %%
results = hw1.run(DEFINITION, name=STUDY, **OPTIONS)

# %%
baseline = hw1.run(BASELINE_DEFINITION, name=BASELINE, **OPTIONS)

# %%
rows = results.dataset
display(Markdown(f"{len(rows):,} training images of `{rows.name}`, of each class:"))
pd.Series([rows.class_names[i] for i in rows.targets], name="images").value_counts().to_frame()

# %% [markdown]
# ## The search
#
# - **History and learning curves**: trials that are behind the others are pruned after an epoch or
#   two. If the best curves still rise at the end, more epochs would help.
# - **Importances, slices, contours**: which parameters matter? From a dozen trials the answer is a
#   hint at most.

# %%
for figure in search_figures(results):
    display(figure)

# %% [markdown]
# The best parameters:

# %%
pd.DataFrame({r.name: r.best_params for r in (results, baseline)}, dtype=object)

# %% [markdown]
# ## How good is it really?
#
# The objective value of the best trial is the best of many, and so optimistically biased. So the
# best configuration is scored again: by **cross-validation** on new splits, with the number of
# epochs fixed beforehand, and on the **test examples**, which no search has seen, with networks
# trained on all training examples from several seeds.

# %%
evaluation = evaluate(results, n_repeats=REPEATS, n_seeds=SEEDS)
estimates = {"in the search": {"mean": evaluation.value}}
for name in ("cross_validation", "test"):
    if part := getattr(evaluation, name):
        estimates[name.replace("_", "-")] = vars(part.estimate)
if evaluation.test:
    estimates["test, ensemble"] = vars(evaluation.test.ensemble_estimate)
pd.DataFrame(estimates).transpose()

# %% [markdown]
# `low` and `high` are the ends of a 95% confidence interval of the mean. For cross-validation it
# covers other examples from the same source, and accounts for the training examples that the folds
# share (Nadeau and Bengio). For the test it covers other test examples of the same kind and other
# seeds, with the same training examples; for the ensemble only other test examples. With 10,000
# test examples and an accuracy of 90%, the interval is about ± 0.6 percentage points or more,
# however many seeds there are.
#
# The networks scored on the test examples have learned from all training examples, those of the
# cross-validation from only two thirds of them. So the test score is often the higher one.
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
# ## Do convolutions help?
#
# The best network of each study, on the same new splits of the same data:

# %%
comparison = compare([results, baseline], n_repeats=REPEATS)
display(Markdown(comparison.pairs[0].sentence))
pd.DataFrame({name: vars(part.estimate) for name, part in comparison.studies.items()}).transpose()

# %% [markdown]
# This compares two networks, each the best that one search has found, trained on so many rows for
# so many epochs. With more of either, the difference may be another one.

# %% [markdown]
# ## Where it is wrong
#
# The best trial is trained again on the folds of the study, and each example is predicted by the
# network that has not seen it.
#
# - **Confusion matrix**: a row is a true class, a column what it is taken for. Colors show the
#   mistakes alone. Are they symmetric? Is a class recognized least because it has no typical form?
# - **Confident mistakes**: images of which the network was sure, and wrong. In some the label is to
#   blame: would you have known? In others look for what has misled it.

# %%
for figure in training_figures(results, results.trial()):
    display(figure)

# %% [markdown]
# ## The network itself
#
# `load_best` trains the best configuration on all training data. The network comes with its
# normalization: it takes pixels as they are, and gives logits. It is the one that `evaluate` scored
# first.

# %%
best = load_best(results)
display(best.configuration)
display(best.model)

# %% [markdown]
# Five test images with what it says of them. The probability is the network's own opinion; the
# mistakes above show how far to trust it.

# %%
test = results.test_rows()
images, names = test.inputs[:5], test.class_names
probability, predicted = predict(best.model, images).softmax(1).max(1)
picture = px.imshow(
    images[:, 0].numpy(), facet_col=0, labels={"facet_col": "image"}, color_continuous_scale="gray"
)
display(picture.update_layout(height=240, coloraxis_showscale=False))
pd.DataFrame(
    {
        "true": [names[i] for i in test.targets[:5]],
        "predicted": [names[i] for i in predicted],
        "probability": probability.numpy(),
    }
)

# %% [markdown]
# ## Inside the network
#
# Each figure has a name; one that makes no sense for a network is not made, and its cell shows
# nothing.

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
# **Filters** of the first layer. One hopes for edges and spots of several directions. Filters that
# look like noise have changed little since they were drawn: is the histogram of this layer the same
# before and after? More epochs or a higher learning rate may help.

# %%
inside.get("inside_first_layer")

# %% [markdown]
# **Activation profiles**: what the units answer to, class by class. In the first layers most
# channels tell little more than bright images from dark ones. In deeper layers groups of units
# belong to a class, or to a few that look alike.

# %%
inside.get("inside_profiles")

# %% [markdown]
# **Dead units** put out the same for every example, and the network does without them. Many of them
# may mean that the learning rate was too high, or that a narrower network would do.

# %%
inside.get("inside_unused")

# %% [markdown]
# **Feature maps**: what the channels of a layer make of an image. Those of the first layers show
# its surface and its outlines. Deeper ones are coarse: they say where something is, no longer how
# it looks.

# %%
inside.get("inside_maps")

# %% [markdown]
# **Receptive fields**: the pixels that a unit in the middle can see. The orange square follows from
# the sizes of kernels and poolings, and grows with each layer. The color is measured: how much the
# unit depends on each pixel. The most important pixels are often in the middle, from where more
# paths lead to the unit than from the edge.

# %%
inside.get("inside_receptive_fields")

# %% [markdown]
# **Activation maximization**: images optimized to maximize the activation of a class output or of a
# hidden unit. They do not look like typical images of the class: the network needs only what
# distinguishes the classes. Units of early layers prefer stripes and textures, those of late layers
# parts of objects. If a score collapses when the image is shifted by a pixel, the pattern is noise
# that is specific to this network.

# %%
inside.get("inside_maximized_outputs")

# %%
inside.get("inside_maximized_units")

# %% [markdown]
# **Saliency**: the pixels that a prediction depends on. There are two methods, because neither is
# definitive: SmoothGrad shows how sensitive the output is to a pixel, integrated gradients what the
# pixel adds to it. Noisy maps say little; trust what both methods show.

# %%
inside.get("inside_saliency")

# %% [markdown]
# ## Elsewhere
#
# `export` writes this network to a file, and `predict` uses it without the study, on an image or a
# folder of images:
#
# ```sh
# python run_study.py export fashion_cnn-random --output network.safetensors
# python run_study.py predict network.safetensors images/
# ```
