"""A run as the text of a stand-alone program in plain PyTorch."""

from __future__ import annotations

from core.config import Config
from core.export import data, moves
from core.export.text import call, function, when, word
from core.models import Layer
from core.versions import versions

RULES = {
    "sgd": "SGD",
    "momentum": "SGD",
    "nesterov": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
}
KEYWORDS = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "beta1": "betas",
    "learning_rate_decay": "lr_decay",
    "initial_accumulator": "initial_accumulator_value",
}
ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "gelu": "GELU",
    "silu": "SiLU",
}


def script(config: Config) -> str:
    """The text of a stand-alone program that repeats the run of `config` with torch.nn and torch.optim.

    It needs Python 3.10, torch and numpy. Run, it prints one row of CSV "epoch,train_loss,valid_loss" per
    epoch, epoch 0 (before training) first: the numbers of `core.engine.run`, up to rounding in single
    precision. Without validation rows the last column is empty, as in a CSV file made from the run's frame.
    A run that diverges ends with the row in which `core.engine.run` says so. In a chaotic run, such as a deep
    model at a large rate, rounding grows until the numbers differ; in double precision it does so later.

    Split, first weights and the order of the batches come from the same generators as in the engine;
    torch.nn.Linear and Conv2d draw their weights as `core.networks.Network.start` does. The data are at the
    end of the text, exactly; of a user's table there are the numbers and no name.
    """
    constants = _constants(config)
    functions = [*data.functions(config), *moves.functions(config), _mean_loss(config), _main(config)]
    top = "\n\n".join([_docstring(config), _imports("".join([constants, *functions])), constants])
    start = 'if __name__ == "__main__":\n    main()\n'
    return "\n\n\n".join([top, *functions, f"{data.constants(config.dataset)}\n\n{start}"])


def _docstring(config: Config) -> str:
    picked = f"{word(config.dataset.name)}, model {config.model.name}, optimizer {config.optimizer.name}"
    return (
        f'"""Momentum Lab {versions()["momentum_lab"]}: dataset {picked}, in plain PyTorch.\n\n'
        "It prints the losses before training (epoch 0) and after every epoch as rows of CSV: the numbers\n"
        "of the app, up to rounding. It needs torch and numpy. The data are packed at the end of this file.\n"
        '"""'
    )


def _imports(text: str) -> str:
    """What the text of the program needs."""
    standard = ["import base64", "import copy", *when("math." in text, "import math"), "import zlib"]
    return "\n".join([*standard, "", "import numpy as np", "import torch", "from torch import nn"])


def _constants(config: Config) -> str:
    """The settings by name, and what follows from them."""
    numbers = {key: getattr(config.optimizer, key) for key in _told(config)}
    numbers = {key: number for key, number in numbers.items() if not isinstance(number, bool)}
    return "\n".join(
        [
            *(f"{key.upper()} = {value!r}" for key, value in (numbers | moves.constants(config)).items()),
            f"BATCH_SIZE = {config.batch_size}",
            f"EPOCHS = {config.epochs}",
            f"SEED = {config.seed}",
            f"ROWS = {config.dataset.rows}",
            *when(config.valid_rows, f"VALID_ROWS = {config.valid_rows}  # the validation split"),
            *moves.lengths(config),
            _limit(config),
        ]
    )


def _limit(config: Config) -> str:
    from core.engine.problem import problem
    from core.engine.stack import LOST

    guess = f"{problem(config).baseline or 1.0:.9g}"
    limit = f"{LOST:g}".replace("+0", "") + ("" if guess == "1" else f" * {guess}")
    return f"LIMIT = {limit}  # a run has diverged at a million times the loss of the best constant guess"


def _told(config: Config) -> list[str]:
    """The settings of the rule that torch.optim is told: those that it would not have by itself."""
    rule = config.optimizer
    always = {"learning_rate", "alpha", "epsilon", "beta1", "beta2"}
    always |= {"weight_decay"} if rule.name == "adamw" else set()  # 0.01 when not told
    always |= {rule.momentum_name} if moves.momentum_moves(config) else set()
    told = [key for key in rule.settings() if key in always or getattr(rule, key)]
    return told if "momentum" in told else [key for key in told if key != "dampening"]


def _mean_loss(config: Config) -> str:
    name = "CrossEntropyLoss" if config.dataset.classes else "MSELoss"
    doc, lines = "The loss over all rows.", ["return loss_function(model(x), y).item()"]
    if _convolves(config):
        doc = "The loss over all rows, 500 at a time to save memory."
        lines = [
            "parts = zip(x.split(500), y.split(500), strict=True)",
            "return sum(loss_function(model(a), b).item() * len(a) for a, b in parts) / len(x)",
        ]
    text = function("mean_loss(model, x, y)", doc, *lines)
    return f"loss_function = nn.{name}()\n\n\n@torch.no_grad()\n{text}"


def _main(config: Config) -> str:
    valid = config.valid_rows
    losses = "{mean_loss(model, x, y):.9g}," + ("{mean_loss(model, x_valid, y_valid):.9g}" if valid else "")
    moved = moves.each_step(config)
    return function(
        "main()",
        "Trains the model; prints its losses before training and after every epoch.",
        "torch.set_num_threads(1)  # more would only wait for each other in steps this small",
        "x, y, x_valid, y_valid = load()" if valid else "x, y = load()",
        "torch.manual_seed(3 * SEED + 1)  # the first weights come from it",
        *_model(config),
        *_optimizer(config),
        "shuffle = torch.Generator().manual_seed(3 * SEED + 2)",
        "before = copy.deepcopy(model.state_dict())  # the weights one step back",
        *when(moved, "step, group = 0, optimizer.param_groups[0]"),
        'print("epoch,train_loss,valid_loss")',
        f'print(f"0,{losses}")',
        "for epoch in range(1, EPOCHS + 1):",
        "    for batch in torch.randperm(len(x), generator=shuffle).split(BATCH_SIZE):",
        "        loss = loss_function(model(x[batch]), y[batch])",
        "        if not loss <= LIMIT:  # true of nan, too",
        "            break",
        "        before = copy.deepcopy(model.state_dict())",
        *(f"        {line}" for line in moved),
        "        optimizer.zero_grad()",
        "        loss.backward()",
        "        optimizer.step()",
        "    diverged = not (loss <= LIMIT and mean_loss(model, x, y) <= LIMIT)",
        "    if diverged:",
        "        model.load_state_dict(before)",
        f'    print(f"{{epoch}},{losses}")',
        "    if diverged:",
        "        break",
    )


def _convolves(config: Config) -> bool:
    return len(config.layers[0].weight) == 4


def _model(config: Config) -> list[str]:
    *body, last = config.layers
    modules = when(_convolves(config), f"nn.Unflatten(1, {config.dataset.image_shape})")
    modules += [module for layer in body for module in _modules(layer)]
    modules += [*when(_convolves(config), "nn.Flatten()"), *_modules(last)]
    return [f"model = {modules[0]}"] if len(modules) == 1 else call("model = nn.Sequential", modules)


def _modules(layer: Layer) -> list[str]:
    """A layer and what follows it, as torch.nn has them."""
    shape = f"{layer.weight[1]}, {layer.outputs}"
    activation = when(layer.activation in ACTIVATIONS, f"nn.{ACTIVATIONS.get(layer.activation)}()")
    if len(layer.weight) == 4:
        return [f"nn.Conv2d({shape}, 3, padding=1)", *activation, "nn.MaxPool2d(2)"]
    return [f"nn.Linear({shape})", *activation]


def _optimizer(config: Config) -> list[str]:
    rule = config.optimizer
    values = {key: "True" if getattr(rule, key) is True else key.upper() for key in _told(config)}
    if moves.rate_moves(config):
        values["learning_rate"] = "learning_rate_at(1)"
    if moves.momentum_moves(config):
        values[rule.momentum_name] = f"{rule.momentum_name}_at(1)"
    if "beta1" in values:
        values["beta1"] = f"({values['beta1']}, {values.pop('beta2')})"
    if rule.name == "nesterov" and "momentum" in values:
        values["nesterov"] = "True"
    arguments = [f"{KEYWORDS.get(key, key)}={value}" for key, value in values.items()]
    return call(f"optimizer = torch.optim.{RULES[rule.name]}", ["model.parameters()", *arguments])
