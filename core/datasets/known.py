"""The tables that everybody knows: the tutorial's squares, and real ones from the files in core/data.

core/data/README.md says where each file comes from, and core/data/build.py makes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.base import Array, Dataset, listed

FOLDER = Path(__file__).resolve().parent.parent / "data"
DIGITS = tuple("0123456789")
UCI = "CC BY 4.0 at the UCI Machine Learning Repository; scikit-learn's copy is under BSD-3-Clause"


@listed
@dataclass(frozen=True)
class Squares(Dataset):
    """y = x² for x = 1 … 99, without noise."""

    name = "squares"
    title = "Squares, y = x²"
    task = "regression"
    rows = 99
    inputs = 1
    feature_names = ("x",)
    target_name = "y"
    source = "Computed: x = 1 … 99 and y = x², as in the tutorial on linear regression with SGD."
    licence = "None needed: computed, not collected"
    note = "The tutorial's text says 1 … 100, but its program leaves out 100."

    def make(self) -> tuple[Array, Array]:
        x = np.arange(1.0, 100.0)
        return x[:, None], x**2


@dataclass(frozen=True)
class Bundled(Dataset):
    """A table whose arrays lie in core/data under its name."""

    def make(self) -> tuple[Array, Array]:
        with np.load(FOLDER / f"{self.name}.npz", allow_pickle=False) as arrays:
            return arrays["features"], arrays["targets"]


@listed
@dataclass(frozen=True)
class Boston(Bundled):
    """Boston house prices of 1970 by census tract."""

    name = "boston"
    title = "Boston house prices"
    task = "regression"
    rows = 506
    inputs = 13
    feature_names = (
        *("CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO"),
        *("B", "LSTAT"),
    )
    target_name = "MEDV"
    unit = "1,000 USD"
    source = (
        "Harrison and Rubinfeld (1978), Hedonic housing prices and the demand for clean air, "
        "as in the PyPI package mlxtend 0.25.0 (boston_housing_data)."
    )
    licence = "None stated at its origin; mlxtend's copy is under BSD-3-Clause"
    note = (
        "Column B encodes race, 1000(Bk − 0.63)² where Bk is the share of Black residents by town; "
        "the diabetes table is an alternative without it."
    )


@listed
@dataclass(frozen=True)
class Diabetes(Bundled):
    """Progress of diabetes within a year, from ten measurements."""

    name = "diabetes"
    title = "Diabetes progression"
    task = "regression"
    rows = 442
    inputs = 10
    feature_names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    target_name = "progression"
    source = (
        "Efron, Hastie, Johnstone and Tibshirani (2004), Least Angle Regression, in raw units, "
        "as in the PyPI package scikit-learn 1.9.1 (load_diabetes, scaled=False)."
    )
    licence = "None stated at its origin; scikit-learn's copy is under BSD-3-Clause"
    note = "The target is a score of disease progression after one year, from 25 to 346, without a unit."


@listed
@dataclass(frozen=True)
class Wine(Bundled):
    """Three cultivars of Italian wine, from chemical analysis."""

    name = "wine"
    title = "Wine cultivars"
    task = "classification"
    rows = 178
    inputs = 13
    feature_names = (
        *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
        *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
        *("od280/od315_of_diluted_wines", "proline"),
    )
    target_name = "cultivar"
    class_names = ("class_0", "class_1", "class_2")
    source = "Forina and others (1988), PARVUS, as in the PyPI package scikit-learn 1.9.1 (load_wine)."
    licence = UCI


@listed
@dataclass(frozen=True)
class BreastCancer(Bundled):
    """Malignant or benign, from measured cell nuclei."""

    name = "breast_cancer"
    title = "Breast cancer, Wisconsin"
    task = "classification"
    rows = 569
    inputs = 30
    feature_names = tuple(
        f"{prefix}{what}{suffix}"
        for prefix, suffix in (("mean ", ""), ("", " error"), ("worst ", ""))
        for what in (
            *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity"),
            *("concave points", "symmetry", "fractal dimension"),
        )
    )
    target_name = "diagnosis"
    class_names = ("malignant", "benign")
    source = (
        "Wolberg, Street and Mangasarian (1995), Wisconsin diagnostic breast cancer, "
        "as in the PyPI package scikit-learn 1.9.1 (load_breast_cancer)."
    )
    licence = UCI


@listed
@dataclass(frozen=True)
class Iris(Bundled):
    """Three species of iris, from four lengths."""

    name = "iris"
    title = "Iris species"
    task = "classification"
    rows = 150
    inputs = 4
    feature_names = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    target_name = "species"
    class_names = ("setosa", "versicolor", "virginica")
    source = (
        "Fisher (1936), The use of multiple measurements in taxonomic problems, "
        "as in the PyPI package scikit-learn 1.9.1 (load_iris)."
    )
    licence = UCI


@listed
@dataclass(frozen=True)
class Digits(Bundled):
    """Handwritten digits of 8 x 8 pixels."""

    name = "digits"
    title = "Digits, 8 × 8 pixels"
    task = "classification"
    rows = 1797
    inputs = 64
    feature_names = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    target_name = "digit"
    class_names = DIGITS
    image_shape = (1, 8, 8)
    source = (
        "Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, "
        "as in the PyPI package scikit-learn 1.9.1 (load_digits)."
    )
    licence = UCI
    note = "It is only the test part of the original, with pixel values from 0 to 16."


@listed
@dataclass(frozen=True)
class Mnist5k(Bundled):
    """5,000 handwritten digits of 28 x 28 pixels."""

    name = "mnist5k"
    title = "MNIST, 5,000 digits"
    task = "classification"
    rows = 5000
    inputs = 784
    feature_names = tuple(f"pixel_{row}_{column}" for row in range(28) for column in range(28))
    target_name = "digit"
    class_names = DIGITS
    image_shape = (1, 28, 28)
    source = (
        "LeCun, Cortes and Burges (1998), MNIST, 500 of each digit, "
        "as in the PyPI package mlxtend 0.25.0 (mnist_data)."
    )
    licence = "CC BY-SA 3.0; mlxtend's copy is under BSD-3-Clause"
    note = "It is a twelfth of MNIST, so accuracies here are lower than the published ones."

    def make(self) -> tuple[Array, Array]:
        pixels, digits = super().make()
        return pixels / 255.0, digits
