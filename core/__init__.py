"""Everything of Momentum Lab that works without a screen: data, models, rules, training, theory, charts."""

import os

__version__ = "1.0.0"

# Intel's library otherwise adds in an order that depends on where a matrix lies in memory, and a run's last
# digits on its neighbours. It is read once, before the first product, and costs nothing measurable.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# NumPy's own: with two threads on two busy cores a fit of twenty trials took 100 times as long as with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
