"""What a dataset promises: its facts, its numbers, its errors and its picture."""

import hashlib
import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from datetime import date
from pathlib import Path

import mlxtend.data
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from PIL import Image

from core.data import build
from core.datasets import DATASETS, BadTable, from_table, png, thumbnail
from core.registry import OutOfRange, UnknownName

DATA = Path(build.__file__).parent
NAMES = [
    *("squares", "boston", "diabetes", "wine", "breast_cancer", "iris", "digits", "mnist5k"),
    *("moons", "circles", "xor", "spirals", "blobs", "plane", "ravine"),
]
NOISY = [name for name in DATASETS if "noise" in DATASETS[name].settings()]
every = pytest.mark.parametrize("name", NAMES)
noisy = pytest.mark.parametrize("name", NOISY)


def table(rows=40, **columns):
    rng = np.random.default_rng(3)
    return pd.DataFrame({"area": rng.normal(size=rows), "price": rng.normal(size=rows), **columns})


def decoded(picture):
    return np.asarray(Image.open(io.BytesIO(picture)))


def test_there_are_the_promised_datasets_in_their_order():
    assert list(DATASETS) == NAMES
    assert NAMES[8:] == NOISY


@every
def test_a_dataset_says_what_it_is(name):
    entry = DATASETS[name]
    assert entry.name == name
    assert entry.task in ("regression", "classification")
    assert all((entry.title, entry.target_name, entry.source, entry.licence))
    assert (entry.classes == len(entry.class_names) > 1) == (entry.task == "classification")
    assert entry.source.endswith(".")
    assert entry.note == "" or entry.note.endswith(".")
    assert len(entry.feature_names) == len(set(entry.feature_names)) == entry.inputs


@every
def test_a_dataset_has_finite_read_only_arrays_of_the_shape_it_says(name):
    entry = DATASETS[name]
    assert entry.features.shape == (entry.rows, entry.inputs)
    assert entry.targets.shape == (entry.rows,)
    assert entry.features.dtype == np.float64
    assert np.isfinite(entry.features).all()
    assert np.isfinite(entry.targets).all()
    if entry.task == "classification":
        assert entry.targets.dtype == np.int64
        assert np.unique(entry.targets).tolist() == list(range(entry.classes))
    else:
        assert entry.targets.dtype == np.float64
    for array in (entry.features, entry.targets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_only_pictures_have_an_image_shape():
    shapes = {name: entry.image_shape for name, entry in DATASETS.items() if entry.image_shape}
    assert shapes == {"digits": (1, 8, 8), "mnist5k": (1, 28, 28)}


@every
def test_arrays_are_made_once(name):
    assert DATASETS[name].features is DATASETS[name].features


def test_datasets_are_equal_by_class_and_options():
    moons = DATASETS["moons"]
    assert replace(moons, noise=0.1) == moons
    assert hash(replace(moons, noise=0.1)) == hash(moons)
    assert replace(moons, noise=0.3) != moons
    assert replace(DATASETS["circles"], noise=0.3) != replace(moons, noise=0.3)
    with pytest.raises(FrozenInstanceError):
        moons.noise = 0.3


def test_an_option_out_of_range_is_answered_with_the_range():
    with pytest.raises(OutOfRange, match=r"noise must be a number in \[0, 0.5\], got -1"):
        replace(DATASETS["moons"], noise=-1)
    with pytest.raises(OutOfRange, match=r"inputs must be a whole number in \[1, 64\], got 65"):
        replace(DATASETS["ravine"], inputs=65)


def test_squares_are_those_of_the_tutorial():
    squares = DATASETS["squares"]
    assert squares.features[:, 0].tolist() == list(range(1, 100))
    assert squares.targets.tolist() == [x * x for x in range(1, 100)]


@pytest.mark.parametrize("name", ["diabetes", "wine", "breast_cancer", "iris", "digits"])
def test_a_bundled_table_is_that_of_scikit_learn(name):
    options = {"scaled": False} if name == "diabetes" else {}
    theirs, ours = getattr(sklearn.datasets, f"load_{name}")(**options), DATASETS[name]
    assert np.array_equal(ours.features, theirs.data)
    assert np.array_equal(ours.targets, theirs.target)
    assert list(ours.feature_names) == list(theirs.feature_names)
    if ours.classes:
        assert list(ours.class_names) == [str(word) for word in theirs.target_names]


def test_boston_is_that_of_mlxtend_and_says_what_column_b_is():
    features, targets = mlxtend.data.boston_housing_data()
    boston = DATASETS["boston"]
    assert np.array_equal(boston.features, features)
    assert np.array_equal(boston.targets, targets)
    documented = re.findall(r"- \d+\) (\w+)", mlxtend.data.boston_housing_data.__doc__)
    assert list(boston.feature_names) == documented
    assert re.search("Column B encodes race.*Black residents by town.*diabetes", boston.note)


def test_the_files_are_those_that_the_packages_and_the_builder_give(tmp_path):
    build.main(tmp_path)  # mnist5k is compared here too, for reading mlxtend's copy takes seconds
    for path in DATA.glob("*.npz"):
        with np.load(path) as ours, np.load(tmp_path / path.name) as theirs:
            assert np.array_equal(ours["features"], theirs["features"]), path.name
            assert np.array_equal(ours["targets"], theirs["targets"]), path.name
            assert ours["features"].dtype == theirs["features"].dtype


def test_mnist_has_500_of_each_digit_between_0_and_1():
    with np.load(DATA / "mnist5k.npz") as file:
        assert np.array_equal(DATASETS["mnist5k"].features * 255, file["features"])
    assert np.bincount(DATASETS["mnist5k"].targets).tolist() == [500] * 10
    assert DATASETS["mnist5k"].features.max() == 1.0


def test_the_readme_of_the_data_has_the_sum_of_every_file():
    written = dict(re.findall(r"`(\w+\.npz)`.*`([0-9a-f]{64})`", (DATA / "README.md").read_text()))
    real = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.glob("*.npz")}
    assert written == real
    assert len(real) == 7


def test_the_data_folder_is_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 3_000_000


def test_moons_and_circles_without_noise_are_those_of_scikit_learn():
    moons, circles = (replace(DATASETS[name], noise=0) for name in ("moons", "circles"))
    features, targets = sklearn.datasets.make_moons(1000, shuffle=False, noise=None)
    np.testing.assert_allclose(moons.features, features, atol=1e-14)
    assert np.array_equal(moons.targets, targets)
    features, targets = sklearn.datasets.make_circles(1000, shuffle=False, noise=None, factor=0.5)
    np.testing.assert_allclose(circles.features, features, atol=1e-14)
    assert np.array_equal(circles.targets, targets)


def test_xor_spirals_blobs_and_plane_without_noise_are_what_their_names_say():
    xor, spirals, blobs, plane = (
        replace(DATASETS[name], noise=0) for name in ("xor", "spirals", "blobs", "plane")
    )
    assert np.array_equal(xor.targets, xor.features[:, 0] * xor.features[:, 1] < 0)
    assert np.array_equal(spirals.features[spirals.targets == 1], -spirals.features[spirals.targets == 0])
    assert np.allclose(np.diff(np.hypot(*spirals.features[:500].T)), 1 / 500)
    turned = np.unwrap(np.arctan2(*spirals.features[:500].T))
    assert turned[-1] - turned[0] == pytest.approx(1.75 * 2 * np.pi * 499 / 500)
    assert len(np.unique(blobs.features.round(12), axis=0)) == 3
    assert np.allclose(plane.targets, plane.features.sum(axis=1) / 10)


@pytest.mark.parametrize("name", ["moons", "circles", "xor", "spirals"])
def test_two_classes_are_of_equal_size(name):
    assert np.bincount(DATASETS[name].targets).tolist() == [500, 500]


@noisy
def test_noise_is_a_standard_deviation_and_moves_points_smoothly(name):
    none, some, more = (replace(DATASETS[name], noise=noise) for noise in (0, 0.1, 0.2))
    moved = (lambda entry: entry.features) if none.task == "classification" else (lambda entry: entry.targets)
    kept = (lambda entry: entry.targets) if none.task == "classification" else (lambda entry: entry.features)
    shift = moved(some) - moved(none)
    np.testing.assert_allclose(moved(more) - moved(none), 2 * shift, atol=1e-12)
    assert np.array_equal(kept(none), kept(more))
    assert shift.std() == pytest.approx(0.1, rel=0.06)  # 1,000 draws or more: within 2.7 standard errors
    assert shift.mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("inputs", [1, 2, 5, 13, 64])
@pytest.mark.parametrize("condition", [1, 100, 10_000])
def test_the_ravine_has_exactly_the_condition_number_that_is_asked_for(inputs, condition):
    ravine = replace(DATASETS["ravine"], inputs=inputs, condition=condition)
    x = ravine.features
    assert x.shape == (1000, inputs)
    assert len(ravine.feature_names) == inputs
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.var(axis=0), 1, rtol=1e-12)
    correlation = np.corrcoef(x, rowvar=False).reshape(inputs, inputs)
    values = np.linalg.eigvalsh(correlation)
    assert values.mean() == pytest.approx(1)
    assert values[-1] / values[0] == pytest.approx(condition if inputs > 1 else 1, rel=1e-6)
    if inputs > 2:
        np.testing.assert_allclose(np.diff(np.log(values)), np.log(condition) / (inputs - 1), atol=1e-6)


@pytest.mark.parametrize("inputs", [1, 5, 64])
def test_every_direction_of_the_ravine_explains_a_comparable_share_of_its_target(inputs):
    ravine = replace(DATASETS["ravine"], inputs=inputs, condition=1000, noise=0)
    assert ravine.targets.var() == pytest.approx(1)
    assert ravine.targets.mean() == pytest.approx(0, abs=1e-12)
    weights, *_ = np.linalg.lstsq(ravine.features, ravine.targets)
    np.testing.assert_allclose(ravine.features @ weights, ravine.targets, atol=1e-9)
    values, vectors = np.linalg.eigh(ravine.features.T @ ravine.features / 1000)
    share = values * (vectors.T @ weights) ** 2
    assert share.max() / share.min() < 9.001  # coefficients between 0.5 and 1.5


def test_the_ravine_is_not_axis_aligned():
    correlation = np.corrcoef(DATASETS["ravine"].features, rowvar=False)
    assert np.abs(correlation - np.eye(5)).max() > 0.3


def test_generated_tables_are_those_that_links_already_show():
    known = {name: DATASETS[name].features[0].round(6).tolist() for name in ("xor", "plane", "moons")}
    assert known == {
        "xor": [0.693302, 0.395761],
        "plane": [1.64354, -2.762559],
        "moons": [1.034558, 0.082162],
    }


def test_importing_datasets_loads_nothing_heavy():
    code = (
        "import sys; from core.datasets import DATASETS, thumbnail; early = 'PIL' in sys.modules;"
        "thumbnail(DATASETS['ravine']); heavy = ('torch', 'pandas', 'sklearn', 'scipy', 'streamlit');"
        "print([m for m in heavy if early or m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[1], capture_output=True, text=True)
    assert (said.returncode, said.stdout.strip()) == (0, "[]"), said.stderr


def test_a_table_of_numbers_becomes_a_regression():
    frame = table()
    entry = from_table(frame, target="price", name="my <b>houses</b>")
    assert (entry.task, entry.title, entry.target_name) == ("regression", "my <b>houses</b>", "price")
    assert entry.feature_names == ("area",)
    assert (entry.rows, entry.inputs, entry.classes, entry.note) == (40, 1, 0, "")
    assert np.array_equal(entry.features[:, 0], frame["area"])
    assert np.array_equal(entry.targets, frame["price"])
    assert not entry.features.flags.writeable
    assert not entry.targets.flags.writeable
    assert entry.settings() == {}


def test_a_table_is_equal_to_another_with_the_same_contents():
    one, two = from_table(table(), "price"), from_table(table(), "price", name="again")
    assert one == two
    assert hash(one) == hash(two)
    assert re.fullmatch(r"table-[0-9a-f]{8}", one.name)
    assert one.name == two.name
    assert from_table(table() + 1e-9, "price") != one
    assert from_table(table().rename(columns={"area": "size"}), "price") != one
    assert from_table(table(), "area") != one


def test_the_frame_is_not_changed_and_no_part_of_it_is_kept():
    frame = table(colour=["red", "blue"] * 20)
    before = frame.copy(deep=True)
    entry = from_table(frame, "price")
    pd.testing.assert_frame_equal(frame, before)
    frame.iloc[0, 0] = 99.0
    assert entry.features[0, 0] == before.iloc[0, 0]


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_text_becomes_one_column_for_each_word(dtype):
    frame = table(colour=pd.Series(["red", "blue", "blue", "green"] * 10, dtype=dtype))
    entry = from_table(frame, "price")
    assert entry.feature_names == ("area", "colour=blue", "colour=green", "colour=red")
    assert entry.features[:4, 1:].tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_true_and_false_become_1_and_0(dtype):
    entry = from_table(table(garden=pd.Series([True, False] * 20, dtype=dtype)), "price")
    assert entry.features[:4, 1].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "dtype", ["int8", "uint64", "Int64", "float32", "Float64", "object", "int64[pyarrow]"]
)
def test_numbers_are_read_from_whatever_pandas_holds_them_in(dtype):
    entry = from_table(table(rooms=pd.Series(range(40), dtype=dtype)), "price")
    assert entry.features[:, 1].tolist() == list(range(40))


def test_rows_with_a_missing_value_are_left_out_and_counted():
    frame = table(rooms=pd.Series([1, 2, None, 4] * 10, dtype="Int64"), kind=["a", "b", "c", None] * 10)
    entry = from_table(frame, "price")
    assert entry.rows == 20
    assert np.array_equal(entry.targets, frame["price"][frame["rooms"].notna() & frame["kind"].notna()])
    assert entry.feature_names == ("area", "rooms", "kind=a", "kind=b")
    assert entry.note == "Left out: 20 of 40 rows with a missing value."


def test_constant_and_mostly_empty_columns_are_left_out_and_named():
    frame = table(country="ES", cabin=[1.0] * 19 + [None] * 21)
    entry = from_table(frame, "price")
    assert entry.feature_names == ("area",)
    assert entry.rows == 40
    assert entry.note == (
        "Left out: columns more than half empty ('cabin'), "
        "columns that are the same in every row ('country')."
    )


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["no", "yes"], ("no", "yes")),
        ([True, False], ("false", "true")),
        ([3, 10], ("3", "10")),
        ([0.0, 1.0], ("0", "1")),
        (pd.Categorical(["b", "a"] * 20), ("a", "b")),
    ],
)
def test_words_flags_and_few_whole_numbers_are_classes(values, names):
    frame = table(answer=values if isinstance(values, pd.Categorical) else values * 20)
    entry = from_table(frame, "answer")
    assert (entry.task, entry.class_names, entry.classes) == ("classification", names, 2)
    assert entry.targets.dtype == np.int64
    words = ["true" if v is True else "false" if v is False else str(v) for v in frame["answer"]]
    assert [entry.class_names[i] for i in entry.targets] == [word.removesuffix(".0") for word in words]


def test_the_task_can_be_forced():
    frame = table(stars=[1, 2, 3, 4] * 10)
    assert from_table(frame, "stars").task == "classification"
    assert from_table(frame, "stars", task="regression").targets[:4].tolist() == [1, 2, 3, 4]
    with pytest.raises(UnknownName):
        from_table(frame, "stars", task="clustering")


def test_whole_numbers_of_many_values_or_alone_are_a_quantity():
    assert from_table(table(count=range(40)), "count").task == "regression"
    assert from_table(table(count=[1] * 20 + [2] * 19 + [3]), "count").task == "regression"


def test_names_of_columns_are_kept_as_text():
    frame = table().set_axis(['<b>"x"</b>', 7], axis=1)
    assert from_table(frame, 7).feature_names == ('<b>"x"</b>',)
    assert from_table(frame, "7").target_name == "7"


BAD = {
    "unknown target": (
        lambda: (table(), "prise"),
        r"No column named 'prise'\. Did you mean 'price'\? There are: area, price\.",
    ),
    "no frame": (lambda: ([1, 2], "price"), "must be a pandas DataFrame, got list"),
    "no rows": (lambda: (table(0), "price"), "The table has no rows."),
    "few rows": (lambda: (table(9), "price"), "At least 10 rows without a missing value are needed.* 9 of 9"),
    "few whole rows": (
        lambda: (table(rooms=[1.0, None] * 9 + [None] * 2 + [1.0] * 20).head(18), "price"),
        "9 of 18",
    ),
    "too many rows": (lambda: (table(100_001), "price"), "at most 100,000 rows, but it has 100,001"),
    "no other column": (lambda: (table()[["price"]], "price"), "no column beside the target"),
    "nothing varies": (lambda: (table(area=1.0), "price"), "No column beside the target is left"),
    "twice": (
        lambda: (table().set_axis(["price", "price"], axis=1), "price"),
        "'price' comes more than once",
    ),
    "infinite": (lambda: (table(area=[1.0, np.inf] * 20), "price"), "'area' holds an infinite value.* row 2"),
    "infinite target": (
        lambda: (table(price=[1.0, -np.inf] * 20), "price"),
        "'price' holds an infinite value",
    ),
    "huge": (lambda: (table(area=[1.0, 1e300] * 20), "price"), "'area' holds a number that is too large"),
    "huge whole": (
        lambda: (table(area=[1, 10**400] * 20), "price"),
        "'area' holds a number that is too large",
    ),
    "missing target": (
        lambda: (table(price=[1.0, None] * 20), "price"),
        "'price' is missing in 20 of 40 rows",
    ),
    "many words": (
        lambda: (table(street=[f"street {i}" for i in range(40)]), "price"),
        "at most 20 different values, but 'street' has 40",
    ),
    "slips": (
        lambda: (table(power=[*map(str, range(38)), "?", "n/a"]), "price"),
        r"'power' is text, for among its numbers there is '\?', 'n/a'",
    ),
    "numbers as text": (
        lambda: (table(power=[*map(str, range(40))]), "price"),
        "'power' holds numbers that are",
    ),
    "dates": (lambda: (table(day=pd.date_range("2026-01-01", periods=40)), "price"), "'day' holds dates"),
    "zoned": (lambda: (table(day=pd.date_range("2026-01-01", periods=40, tz="UTC")), "price"), "holds dates"),
    "periods": (lambda: (table(day=pd.period_range("2026", periods=40, freq="D")), "price"), "holds dates"),
    "days": (lambda: (table(day=[date(2026, 1, 1), date(2026, 1, 2)] * 20), "price"), "'day' holds dates"),
    "durations": (lambda: (table(day=pd.to_timedelta(range(40), unit="D")), "price"), "'day' holds dates"),
    "a mixture": (lambda: (table(area=pd.Series([1, "a"] * 20, dtype=object)), "price"), "holds int and str"),
    "complex": (lambda: (table(area=[1j, 2.0] * 20), "price"), "'area' must hold numbers.* holds complex"),
    "lists": (lambda: (table(area=[[1], [2]] * 20), "price"), "'area' must hold numbers.* holds list"),
    "one class": (lambda: (table(answer="yes"), "answer"), "'answer' is the same in every row"),
    "one number": (lambda: (table(price=2.5), "price"), "'price' is the same in every row"),
    "a lonely class": (
        lambda: (table(answer=["a"] * 39 + ["b"]), "answer"),
        "two rows or more, but 'b' has one",
    ),
    "many classes": (
        lambda: (table(120, answer=[f"c{i // 2}" for i in range(120)]), "answer"),
        "at most 50 classes",
    ),
    "wide": (lambda: (pd.DataFrame(np.eye(202)).rename(columns=str), "0"), "at most 200 columns.* 201"),
    "wide by words": (
        lambda: (table(**{f"c{i}": [f"w{j % 20}" for j in range(40)] for i in range(10)}), "price"),
        "at most 200 columns.* 201",
    ),
    "same name by words": (
        lambda: (table(**{"a": ["x", "y"] * 20, "a=x": [1, 2] * 20}), "price"),
        "'a=x' comes more than once",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_answered_with_one_sentence_that_says_what_is_wrong(case):
    make, said = BAD[case]
    frame, target = make()
    with pytest.raises(BadTable, match=said) as error:
        from_table(frame, target)
    assert isinstance(error.value, ValueError)
    assert len(str(error.value)) < 300


def test_text_cannot_be_forced_to_be_a_quantity():
    with pytest.raises(BadTable, match="'answer' is text, so the task must be classification"):
        from_table(table(answer=["a", "b"] * 20), "answer", task="regression")


@every
def test_a_thumbnail_is_a_picture_with_colours_on_a_transparent_ground(name):
    picture = decoded(thumbnail(DATASETS[name]))
    assert picture.shape == (64, 64, 4)
    shown = picture[picture[..., 3] > 0]
    assert (picture[..., 3] == 0).any()
    assert len(shown) > 30
    strong = Counter(map(tuple, shown[shown[:, 3] > 128][:, :3].tolist()))
    classes = DATASETS[name].classes
    assert sum(count > 3 for count in strong.values()) >= min(2, classes)
    assert len({tuple(pixel) for pixel in picture.reshape(-1, 4).tolist()}) > 2


def test_a_thumbnail_has_the_size_that_is_asked_for():
    assert decoded(thumbnail(DATASETS["moons"], size=33)).shape == (33, 33, 4)
    with pytest.raises(OutOfRange, match=r"size must be a whole number in \[16, 512\], got 8"):
        thumbnail(DATASETS["moons"], size=8)


def test_a_thumbnail_is_drawn_once_and_shows_the_options():
    moons = DATASETS["moons"]
    assert thumbnail(moons) is thumbnail(replace(moons))
    assert thumbnail(moons) != thumbnail(replace(moons, noise=0.4))


def test_the_thumbnail_of_squares_rises_to_the_right():
    ink = decoded(thumbnail(DATASETS["squares"]))[..., 3] > 128
    assert ink[-4:, :8].any()
    assert ink[:4, -8:].any()
    assert not ink[:8, :32].any()


def test_the_soft_edges_of_a_thumbnail_keep_their_colour():
    picture = decoded(thumbnail(DATASETS["squares"]))
    edges = picture[(picture[..., 3] > 0) & (picture[..., 3] < 255)]
    assert len(edges) > 10
    assert np.abs(edges[:, :3].astype(int) - [0, 114, 178]).max() <= 1
    zero = decoded(thumbnail(DATASETS["digits"]))[:21, :21].reshape(-1, 4)  # the first of nine pictures
    zero = zero[zero[:, 3] > 0]
    assert len(np.unique(zero[:, 3])) > 5
    assert np.abs(zero[:, :3].astype(int) - [0, 114, 178]).max() <= 1


@pytest.mark.parametrize("target", ["price", "answer"])
def test_a_user_table_has_a_thumbnail(target):
    for columns in ({}, {"garden": [True, False] * 20}, {"a": range(40), "b": [1, 2, 3, 5] * 10}):
        entry = from_table(table(answer=["a", "b", "b", "a"] * 10, **columns), target)
        assert (decoded(thumbnail(entry))[..., 3] > 0).any()
    lone = from_table(table(answer=["a", "b"] * 20)[["area", "answer"]], "answer")
    assert len({tuple(p) for p in decoded(thumbnail(lone))[..., :3].reshape(-1, 3).tolist()}) > 2


def test_a_png_is_read_back_as_it_was_written():
    rgba = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    assert np.array_equal(decoded(png(rgba)), rgba)
    assert np.array_equal(decoded(png(rgba[::-1, ::2])), rgba[::-1, ::2])
    for bad in (rgba[..., :3], rgba.astype(float), rgba[:0]):
        with pytest.raises(ValueError, match=r"rgba must be \(height, width, 4\) of uint8"):
            png(bad)
