"""Tables to charts: one colour for one thing on every page, and specs that hold no data.

A live chart must never be embedded anew while it runs, and the browser updates it in place only when its
spec is the same text again. So each function here gives a constant Vega-Lite dict, made once with Altair and
kept; a page draws it with `st.vega_lite_chart(table, spec)`, where the table is wide, float32, with one plain
column for one series and NaN where a row has no value for it. Nobody may change a returned dict.

Texts, axes and grids take the page's theme; only the series have colours of their own, each with a
contrast of at least 3 to 1 on the light and on the dark page.
"""

from core.charts.base import ALARM, CLASS_SHAPES, CLASSES, COLOURS, DARK_INK, DASHES, LIGHT_INK, Spec
from core.charts.compare import Style, compare_columns, compare_spec, rival_styles
from core.charts.maps import CARD_COLUMNS, MAP_COLUMNS, card_spec, map_spec, range_spec
from core.charts.parallel import parallel_columns, parallel_spec
from core.charts.surface import SLICE_COLUMNS, SURFACE_COLUMNS, Scale, slice_spec, surface_spec
from core.charts.train import (
    CONFUSION_COLUMNS,
    DECISION_COLUMNS,
    FIT_COLUMNS,
    LOSS_COLUMNS,
    PREDICTED_COLUMNS,
    confusion_spec,
    curve_spec,
    decision_spec,
    fit_spec,
    loss_spec,
    predicted_spec,
)
from core.charts.tune import (
    CHANCE_COLUMNS,
    HISTORY_COLUMNS,
    IMPORTANCE_COLUMNS,
    TIMELINE_COLUMNS,
    TRIAL_CURVE_COLUMNS,
    chance_spec,
    history_spec,
    importance_spec,
    timeline_spec,
    trial_curves_spec,
)

__all__ = [
    "ALARM",
    "CARD_COLUMNS",
    "CHANCE_COLUMNS",
    "CLASSES",
    "CLASS_SHAPES",
    "COLOURS",
    "CONFUSION_COLUMNS",
    "DARK_INK",
    "DASHES",
    "DECISION_COLUMNS",
    "FIT_COLUMNS",
    "HISTORY_COLUMNS",
    "IMPORTANCE_COLUMNS",
    "LIGHT_INK",
    "LOSS_COLUMNS",
    "MAP_COLUMNS",
    "PREDICTED_COLUMNS",
    "SLICE_COLUMNS",
    "SURFACE_COLUMNS",
    "TIMELINE_COLUMNS",
    "TRIAL_CURVE_COLUMNS",
    "Scale",
    "Spec",
    "Style",
    "card_spec",
    "chance_spec",
    "compare_columns",
    "compare_spec",
    "confusion_spec",
    "curve_spec",
    "decision_spec",
    "fit_spec",
    "history_spec",
    "importance_spec",
    "loss_spec",
    "map_spec",
    "parallel_columns",
    "parallel_spec",
    "predicted_spec",
    "range_spec",
    "rival_styles",
    "slice_spec",
    "surface_spec",
    "timeline_spec",
    "trial_curves_spec",
]
