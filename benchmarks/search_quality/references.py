"""What scikit-learn reaches on the same rows in a line or two: what a search has to beat."""

import warnings
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from benchmarks.search_quality.problems import Problem

GRID = {"C": [1, 10, 100, 1000], "gamma": [0.01, 0.1, 1, 10]}


def references(problem: Problem) -> dict[str, float]:
    """The test error of some estimators: mean squared, or the share of wrong classes."""
    x = problem.data.inputs.flatten(1).double().numpy()
    y = problem.data.targets.flatten().numpy()
    n = problem.n_train
    is_classes = problem.data.task == "classification"
    estimators: dict[str, Any] = {
        "Gaussian process": GaussianProcessRegressor(
            ConstantKernel() * RBF(np.ones(x.shape[1])) + WhiteKernel(),
            normalize_y=True,
            n_restarts_optimizer=3,
            random_state=0,
        ),
        "support vectors, grid": GridSearchCV(SVR(), GRID),
        "random forest": RandomForestRegressor(random_state=0),
        "MLP, default": MLPRegressor(random_state=0),
        "MLP, 2 x 64, L-BFGS": MLPRegressor(
            hidden_layer_sizes=(64, 64),
            activation="tanh",
            solver="lbfgs",
            max_iter=2000,
            random_state=0,
        ),
        "linear": RidgeCV(),
    }
    if is_classes:
        estimators = {
            "support vectors, grid": GridSearchCV(SVC(), GRID),
            "random forest": RandomForestClassifier(random_state=0),
            "MLP, default": MLPClassifier(random_state=0),
            "linear": LogisticRegression(),
        }
    scale = y[:n].std() if not is_classes else 1
    found = {}
    for name, estimator in estimators.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = make_pipeline(StandardScaler(), estimator).fit(x[:n], y[:n] / scale)
        predicted = fitted.predict(x[n:])
        wrong = predicted != y[n:] if is_classes else (predicted * scale - y[n:]) ** 2
        found[name] = float(wrong.mean())
    return found
