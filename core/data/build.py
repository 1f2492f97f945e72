"""Makes the bundled files again from scikit-learn and mlxtend: `python core/data/build.py [folder]`.

Run by hand, in an environment of its own, with the versions that README.md in this folder names. The
arrays are stored in the smallest type that holds them exactly, with a fixed date, so that the same
versions give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The features and targets of each file, by name, as the packages give them."""
    from mlxtend import data as mlxtend
    from sklearn import datasets as sklearn

    return {
        "boston": mlxtend.boston_housing_data(),
        "diabetes": sklearn.load_diabetes(return_X_y=True, scaled=False),
        "wine": sklearn.load_wine(return_X_y=True),
        "breast_cancer": sklearn.load_breast_cancer(return_X_y=True),
        "iris": sklearn.load_iris(return_X_y=True),
        "digits": sklearn.load_digits(return_X_y=True),
        "mnist5k": mlxtend.mnist_data(),
    }


def smallest(values: np.ndarray) -> np.ndarray:
    """`values` as bytes when all are whole numbers in [0, 255], otherwise in double precision."""
    small = values.astype(np.uint8)
    return small if np.array_equal(small, values) else np.asarray(values, dtype=np.float64)


def packed(**arrays: np.ndarray) -> bytes:
    """An .npz file of the arrays, without the time of day that numpy.savez would write into it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, part.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return out.getvalue()


def main(folder: Path) -> None:
    """Writes every file to `folder` and prints its sha256 and size in bytes."""
    for name, (features, targets) in tables().items():
        content = packed(features=smallest(features), targets=smallest(targets))
        (folder / f"{name}.npz").write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {name}.npz  {len(content)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
