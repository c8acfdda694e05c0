"""Estimators as steps: from a block of numbers to one score a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from slipway.models.compiled import program as steps
from slipway.models.compiled.boosters import booster_raw, booster_score
from slipway.models.compiled.building import Block, Builder, NotCompiled, Raw, name_of, plain_array
from slipway.models.compiled.program import Array
from slipway.models.compiled.running import UFUNCS
from slipway.models.compiled.transformers import flat_steps, transform, transform_all
from slipway.models.compiled.trees import forest_of, hist_trees, plain_trees

__all__ = ["probability", "value_of"]

_Value = Raw | Block
_Score = Callable[[Builder, _Value, Any], Block]
_IDENTITY_LINEAR = (
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV", "Lasso", "LassoCV",
    "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR", "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor",
    "TheilSenRegressor",
)  # fmt: skip
_LINEAR_CLASSIFIERS = (
    "LinearDiscriminantAnalysis", "LinearSVC", "LogisticRegression", "LogisticRegressionCV", "PassiveAggressiveClassifier",
    "Perceptron", "RidgeClassifier", "RidgeClassifierCV", "SGDClassifier",
)  # fmt: skip
_LOG_LINK = ("PoissonRegressor", "GammaRegressor")
_FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor")
_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor")
_BOOSTING = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_SEARCHES = ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")


def probability(builder: Builder, value: _Value, model: Any) -> Block:
    """The steps that give the probability of the second class.

    Raises:
        NotCompiled: The estimator, or a part of it, has no compiled form.
    """
    return _scored(builder, value, model, _PROBABILITIES, probability)


def value_of(builder: Builder, value: _Value, model: Any) -> Block:
    """The steps that give a regression's value; see `probability`."""
    return _scored(builder, value, model, _VALUES, value_of)


def _scored(builder: Builder, value: _Value, model: Any, known: Mapping[str, _Score], again: _Score) -> Block:
    name = name_of(model)
    if name == "Pipeline":
        *parts, last = flat_steps(model)
        return again(builder, transform_all(builder, value, parts), last)
    if name in _SEARCHES:
        return again(builder, value, model.best_estimator_)
    if name == "FrozenEstimator":
        return again(builder, value, model.estimator)
    if name not in known:
        raise NotCompiled(f"The model {type(model).__name__} has no compiled form.")
    return known[name](builder, value, model)


def _finite(builder: Builder, value: _Value) -> Block:
    return builder.check(builder.numbers(value), nan=False)


def _linear(builder: Builder, value: _Value, model: Any) -> Block:
    """The decision function of a linear model."""
    weights = np.atleast_2d(plain_array(model.coef_))
    if weights.shape[0] != 1:
        raise NotCompiled(f"The {type(model).__name__} gives several values a row.")
    # Where nothing is fitted the intercept is a plain 0.0, which leaves the type of the product.
    offset = np.atleast_1d(np.asarray(model.intercept_, dtype=np.float64)).astype(weights.dtype)
    return builder.matrix(_finite(builder, value), weights.T, offset)


def _logistic(builder: Builder, value: _Value, model: Any) -> Block:
    return builder.link(_linear(builder, value, model), "expit")


def _sgd(builder: Builder, value: _Value, model: Any) -> Block:
    if model.loss == "log_loss":
        return _logistic(builder, value, model)
    if model.loss != "modified_huber":
        raise NotCompiled(f"The SGDClassifier has loss={model.loss!r}.")
    raw = _linear(builder, value, model)
    cut = builder.add(steps.Clip(raw.number, -1.0, 1.0), 1)
    return builder.arithmetic(builder.arithmetic(cut, "add", 1.0), "divide", 2.0)


def _exp_linear(builder: Builder, value: _Value, model: Any) -> Block:
    return builder.link(_linear(builder, value, model), "exp")


def _tweedie(builder: Builder, value: _Value, model: Any) -> Block:
    if model.link == "identity" or (model.link == "auto" and model.power <= 0):
        return _linear(builder, value, model)
    return _exp_linear(builder, value, model)


def _sums(builder: Builder, value: _Value, model: Any) -> tuple[Block, Any, Any]:
    """Features for naive Bayes on counts, and the weights and offset between its two classes."""
    block, name = _finite(builder, value), name_of(model)
    logs, prior = plain_array(model.feature_log_prob_), plain_array(model.class_log_prior_)
    if name == "BernoulliNB":
        if model.binarize is not None:
            raise NotCompiled(
                "A BernoulliNB makes its inputs binary itself (binarize); set it to None behind an encoder."
            )
        unlike = np.log(1 - np.exp(logs))
        logs, prior = logs - unlike, prior + unlike.sum(axis=1)
    if name == "ComplementNB":
        prior = np.zeros(2)
    return block, logs[1] - logs[0], prior[1] - prior[0]


def _counting(builder: Builder, value: _Value, model: Any) -> Block:
    block, weights, offset = _sums(builder, value, model)
    return builder.link(builder.matrix(block, weights[:, None], offset), "expit")


def _gaussian(builder: Builder, value: _Value, model: Any) -> Block:
    block = _finite(builder, value)
    variances, prior = np.asarray(model.var_), np.asarray(model.class_prior_)
    offset = np.log(prior[1]) - np.log(prior[0]) - 0.5 * (np.log(variances[1]).sum() - np.log(variances[0]).sum())
    step = steps.Gaussian(block.number, Array.of(model.theta_), Array.of(variances), float(offset))
    return builder.link(builder.add(step, 1), "expit")


def _single(builder: Builder, value: _Value, model: Any) -> Block:
    """Inputs of scikit-learn's own trees: float32, and NaN only where the tree learned of it."""
    tree = getattr(model, "estimators_", [model])[0]
    tree = tree[0] if isinstance(tree, np.ndarray) else tree
    allows = name_of(model) not in _BOOSTING and bool(tree._support_missing_values(None) and _knows_missing(tree))
    block = builder.check(builder.numbers(value), nan=allows)
    return block if block.single else builder.add(steps.Cast(block.number), block.width, True)


def _knows_missing(tree: Any) -> bool:
    return bool(tree.__sklearn_tags__().input_tags.allow_nan)


def _forest(builder: Builder, value: _Value, model: Any) -> Block:
    if getattr(model, "n_outputs_", 1) != 1:
        raise NotCompiled(f"The {type(model).__name__} gives several values a row.")
    block = _single(builder, value, model)
    trees = getattr(model, "estimators_", [model])
    found = builder.add(forest_of(plain_trees(trees, _positive(model)), block.number), 1)
    return builder.arithmetic(found, "divide", float(len(trees)))


def _positive(model: Any) -> int:
    return 1 if hasattr(model, "classes_") else 0


def _boosting_raw(builder: Builder, value: _Value, model: Any) -> Block:
    if model.init_ != "zero" and name_of(model.init_) not in ("DummyClassifier", "DummyRegressor"):
        raise NotCompiled(f"The {type(model).__name__} starts from an estimator (init).")
    start = float(np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32)))[0])
    block = _single(builder, value, model)
    trees = plain_trees((tree for (tree,) in model.estimators_), 0, model.learning_rate)
    return builder.add(forest_of(trees, block.number, start=start), 1)


def _boosting(builder: Builder, value: _Value, model: Any) -> Block:
    raw = _boosting_raw(builder, value, model)
    if not hasattr(model, "classes_"):
        return raw
    return builder.link(builder.blend([raw], [2.0]) if model.loss == "exponential" else raw, "expit")


def _hist_raw(builder: Builder, value: _Value, model: Any) -> Block:
    if model.n_trees_per_iteration_ != 1:
        raise NotCompiled(f"The {type(model).__name__} gives several values a row.")
    if model._preprocessor is not None:
        value = transform(builder, value, model._preprocessor)
    block = builder.numbers(value)
    start = float(np.ravel(model._baseline_prediction)[0])
    return builder.add(forest_of(hist_trees(model._predictors), block.number, start=start), 1)


def _hist(builder: Builder, value: _Value, model: Any) -> Block:
    raw = _hist_raw(builder, value, model)
    if hasattr(model, "classes_"):
        return builder.link(raw, "expit")
    link = type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotCompiled(f"The {type(model).__name__} has the link {link}.")
    return raw if link == "IdentityLink" else builder.link(raw, "exp")


def _boosted(builder: Builder, value: _Value, model: Any) -> Block:
    return booster_score(builder, builder.numbers(value), model.booster_.model_to_string())


def _network(builder: Builder, value: _Value, model: Any) -> Block:
    links = {"relu": "relu", "logistic": "expit", "tanh": "", "identity": ""}
    block = _finite(builder, value)
    for index, (weights, offset) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        block = builder.matrix(block, weights, offset)
        kind = model.activation if index < len(model.coefs_) - 1 else model.out_activation_
        if kind not in links:
            raise NotCompiled(f"The {type(model).__name__} has the activation {kind!r}.")
        if kind == "tanh":
            block = builder.add(steps.Ufunc(block.number, "tanh"), block.width, block.single)
        elif links[kind]:
            block = builder.link(block, links[kind])
    return block


def _constant(builder: Builder, value: _Value, model: Any) -> Block:
    if name_of(model) == "DummyClassifier":
        if model.strategy not in ("prior", "most_frequent", "constant"):
            raise NotCompiled(f"The DummyClassifier draws lots (strategy={model.strategy!r}).")
        constant = float(model.predict_proba(np.zeros((1, 1)))[0, 1])
    else:
        constant = float(np.ravel(model.constant_)[0])
    # What comes in is read as far as to see that it is a row, and is not used.
    block = builder.numbers(value)
    filled = builder.add(steps.Fill(block.number, Array.of(np.zeros(block.width))), block.width)
    return builder.matrix(filled, np.zeros((block.width, 1)), [constant])


def _decision(builder: Builder, value: _Value, model: Any) -> Block:
    """What a calibration looks at: the decision function where there is one, else the probability."""
    name = name_of(model)
    if name == "Pipeline":
        *parts, last = flat_steps(model)
        return _decision(builder, transform_all(builder, value, parts), last)
    if name == "FrozenEstimator":
        return _decision(builder, value, model.estimator)
    if name in _LINEAR_CLASSIFIERS:
        return _linear(builder, value, model)
    if name == "HistGradientBoostingClassifier":
        return _hist_raw(builder, value, model)
    if name == "GradientBoostingClassifier":
        return _boosting_raw(builder, value, model)
    if name == "LGBMClassifier" and hasattr(model, "decision_function"):  # since LightGBM 4.7
        return booster_raw(builder, builder.numbers(value), model.booster_.model_to_string())[0]
    if hasattr(model, "decision_function"):
        raise NotCompiled(f"The decision function of {type(model).__name__} has no compiled form.")
    return probability(builder, value, model)


def _calibrated(builder: Builder, value: _Value, model: Any) -> Block:
    value = _once(builder, value)
    found = []
    for each in model.calibrated_classifiers_:
        raw = _decision(builder, value, each.estimator)
        (curve,) = each.calibrators
        if each.method == "sigmoid":
            line = builder.blend([raw], [-float(curve.a_)])
            found.append(builder.link(builder.arithmetic(line, "add", -float(curve.b_)), "expit"))
        elif each.method == "isotonic":
            x, y = curve.f_.x if hasattr(curve.f_, "x") else curve.X_thresholds_, curve.y_thresholds_
            step = steps.Interpolated(raw.number, Array.of(x), Array.of(y), curve.out_of_bounds == "clip")
            found.append(builder.add(step, 1))
        else:
            raise NotCompiled(f"A CalibratedClassifierCV has method={each.method!r}.")
    return builder.blend(found, [1 / len(found)] * len(found))


def _once(builder: Builder, value: _Value) -> _Value:
    """Columns that are all numbers as a block, so that several models do not read them each for itself."""
    try:
        return builder.numbers(value)
    except NotCompiled:
        return value


def _voting(score: _Score) -> _Score:
    def vote(builder: Builder, value: _Value, model: Any) -> Block:
        if getattr(model, "voting", "soft") != "soft":
            raise NotCompiled(f"A {type(model).__name__} has voting={model.voting!r}.")
        found = [score(builder, value, each) for each in model.estimators_]
        weights = np.asarray(model._weights_not_none or [1.0] * len(found), dtype=np.float64)
        return builder.blend(found, (weights / weights.sum()).tolist())

    return vote


def _transformed(builder: Builder, value: _Value, model: Any) -> Block:
    block = value_of(builder, value, model.regressor_)
    inverse = getattr(model.transformer_, "inverse_func", None)
    name = getattr(inverse, "__name__", "")
    if name_of(model.transformer_) != "FunctionTransformer" or UFUNCS.get(name) is not inverse:
        raise NotCompiled(f"A TransformedTargetRegressor undoes its transformation by {name or model.transformer_!r}.")
    return builder.add(steps.Ufunc(block.number, name), 1, block.single)


_PROBABILITIES: Mapping[str, _Score] = {
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "LinearDiscriminantAnalysis": _logistic,
    "SGDClassifier": _sgd,
    "GaussianNB": _gaussian,
    **dict.fromkeys(("MultinomialNB", "ComplementNB", "BernoulliNB"), _counting),
    **dict.fromkeys((name for name in (*_FORESTS, *_TREES) if name.endswith("Classifier")), _forest),
    "GradientBoostingClassifier": _boosting,
    "HistGradientBoostingClassifier": _hist,
    "LGBMClassifier": _boosted,
    "MLPClassifier": _network,
    "DummyClassifier": _constant,
    "CalibratedClassifierCV": _calibrated,
    "VotingClassifier": _voting(probability),
    "TunedThresholdClassifierCV": lambda builder, value, model: probability(builder, value, model.estimator_),
}
_VALUES: Mapping[str, _Score] = {
    **dict.fromkeys(_IDENTITY_LINEAR, _linear),
    **dict.fromkeys(_LOG_LINK, _exp_linear),
    "TweedieRegressor": _tweedie,
    **dict.fromkeys((name for name in (*_FORESTS, *_TREES) if name.endswith("Regressor")), _forest),
    "GradientBoostingRegressor": _boosting,
    "HistGradientBoostingRegressor": _hist,
    "LGBMRegressor": _boosted,
    "MLPRegressor": _network,
    "DummyRegressor": _constant,
    "VotingRegressor": _voting(value_of),
    "TransformedTargetRegressor": _transformed,
}
