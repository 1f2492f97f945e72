"""What the schedules of a run are in its program: constants, functions of the step, lines of the loop."""

from __future__ import annotations

import re
from typing import Any

from core.config import Config
from core.export.text import function, when
from core.optimizers import BETA1

RATES: dict[str, tuple[str, ...]] = {
    "step": (
        "LEARNING_RATE, multiplied by DECAY after every EVERY epochs.",
        "epoch = (step - 1) // STEPS_PER_EPOCH",
        "return LEARNING_RATE * DECAY ** (epoch // EVERY)",
    ),
    "cosine": (
        "From LEARNING_RATE down to the share FINAL of it.",
        "return LEARNING_RATE * cosine(1, FINAL, (step - 1) / STEPS)",
    ),
    "warmup": (
        "Up to LEARNING_RATE in a straight line, for the share WARMUP of all steps.",
        "rise = WARMUP * STEPS",
        "return LEARNING_RATE * (step / rise if step < rise else 1)",
    ),
    "onecycle": (
        "From 1/25 of LEARNING_RATE up to all of it, then down to almost nothing.",
        "return LEARNING_RATE * cycle(1 / 25, 1, 1 / 25 / 1e4, PEAK, step)",
    ),
}
# {0} is the momentum that is set, {1} and {2} keep what is computed above 0 where that is needed.
MOMENTA: dict[str, tuple[str, ...]] = {
    "ramp": (
        "From MOMENTUM_START to {0} in a straight line, for the share RAMP of all steps.",
        "length = RAMP * STEPS",
        "share = (step - 1) / length if step - 1 < length else 1",
        "return {1}(1 - share) * MOMENTUM_START + share * {0}{2}",
    ),
    "sutskever": (
        "From 0.5 nearer to 1 every 250 steps, up to {0}.",
        "return {1}min(1 - 0.5 / ((step - 1) // 250 + 1), {0}){2}",
    ),
    "cycle": (
        "From {0} to MOMENTUM_LOW and back.",
        "return {1}cycle({0}, MOMENTUM_LOW, {0}, MOMENTUM_PEAK, step){2}",
    ),
}
COSINE = function(
    "cosine(begin, end, share)",
    "From `begin` at share 0 to `end` at share 1 along half a cosine.",
    "left = (1 + math.cos(math.pi * share)) / 2",
    "return left * begin + (1 - left) * end",
)
CYCLE = function(
    "cycle(begin, middle, end, peak, step)",
    "From `begin` to `middle`, reached after the share `peak` of all steps, and on to `end`.",
    "now, turn, last = step - 1, peak * STEPS - 1, STEPS - 1",
    "if now > turn:",
    "    return cosine(middle, end, (now - turn) / (last - turn))",
    "return cosine(begin, middle, now / turn if turn else 1)",
)


def rate_moves(config: Config) -> bool:
    """Whether the learning rate changes in the course of the run."""
    return not config.schedule.constant


def momentum_moves(config: Config) -> bool:
    """Whether the rule has a momentum and it changes in the course of the run."""
    return bool(config.optimizer.momentum_name) and not config.momentum_schedule.constant


def constants(config: Config) -> dict[str, Any]:
    """The settings of the schedules by their names in the program."""
    found = {}
    if rate_moves(config):
        found = {key: getattr(config.schedule, key) for key in config.schedule.settings()}
    if momentum_moves(config):
        moved = config.momentum_schedule
        names = {key: "momentum_peak" if key == "peak" else key for key in moved.settings()}
        found |= {name: getattr(moved, key) for key, name in names.items()}
    return found


def lengths(config: Config) -> list[str]:
    """The lines that compute what the schedules need to know of the run."""
    rows = "(ROWS - VALID_ROWS)" if config.valid_rows else "ROWS"
    names = set(re.findall(r"STEPS\w*", " ".join(functions(config))))
    return [
        *when(
            meets_zero(config),
            "SMALLEST = 1e-30  # in place of momentum 0, at which torch.optim does not update the velocity",
        ),
        *when(names, f"STEPS_PER_EPOCH = math.ceil({rows} / BATCH_SIZE)"),
        *when("STEPS" in names, "STEPS = EPOCHS * STEPS_PER_EPOCH"),
    ]


def functions(config: Config) -> list[str]:
    """How learning rate and momentum depend on the step, and the curves that this takes."""
    rates = RATES[config.schedule.name] if rate_moves(config) else ()
    momenta = _momentum_lines(config) if momentum_moves(config) else ()
    text = " ".join([*rates, *momenta])
    cycles = "cycle(" in text
    return [
        *when(cycles or "cosine(" in text, COSINE),
        *when(cycles, CYCLE),
        *([function("learning_rate_at(step)", *rates)] if rates else []),
        *([function(f"{config.optimizer.momentum_name}_at(step)", *momenta)] if momenta else []),
    ]


def each_step(config: Config) -> list[str]:
    """The lines that set what moves before each update."""
    adaptive = config.optimizer.momentum_name == "beta1"
    momentum = "betas" if adaptive else "momentum"
    value = "(beta1_at(step), BETA2)" if adaptive else "momentum_at(step)"
    undamped = meets_zero(config) and getattr(config.optimizer, "dampening", 0.0) > 0
    lines = [
        *when(rate_moves(config), 'group["lr"] = learning_rate_at(step)'),
        *when(momentum_moves(config), f'group["{momentum}"] = {value}'),
        *when(undamped, 'group["dampening"] = 0 if group["momentum"] == SMALLEST else DAMPENING'),
    ]
    return when(lines, "step += 1", *lines)


def meets_zero(config: Config) -> bool:
    """Whether a schedule may take the momentum to 0, at which torch.optim leaves the velocity as it is."""
    if not momentum_moves(config) or config.optimizer.momentum_name != "momentum":
        return False
    return 0 in (config.momentum, *_ends(config))


def _ends(config: Config) -> list[float]:
    """Where a momentum schedule begins or turns."""
    schedule = config.momentum_schedule
    return [getattr(schedule, key) for key in ("momentum_start", "momentum_low") if hasattr(schedule, key)]


def _momentum_lines(config: Config) -> tuple[str, ...]:
    smallest, end = ("max(SMALLEST, ", ")") if meets_zero(config) else ("", "")
    if config.optimizer.momentum_name == "beta1" and max(_ends(config), default=0) > BETA1.high:
        smallest, end = f"min({BETA1.high!r}, ", ")"
    target = config.optimizer.momentum_name.upper()
    return tuple(line.format(target, smallest, end) for line in MOMENTA[config.momentum_schedule.name])
