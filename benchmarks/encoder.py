"""How much of the machine's matrix-product rate the image encoder reaches. Goals: 80 % in fp32, 60 % in bf16.

SegVol's encoder at its published size (505.7 GFLOP an image), random weights, fp32 and bf16 autocast. The baselines,
in the same run, type and threads: one large square product, and the four products of a transformer block at the
encoder's own shapes. Percent is the encoder's rate over the faster of the two; whatever the encoder does besides
products (softmax, GELU, layer norm, conversions) is in its time but not in its FLOPs. "cpu percent" is the same from
processor time, which other jobs on a busy machine disturb less.
"""

from dataclasses import dataclass

import torch
from measuring import (
    PRECISIONS,
    Precision,
    Spent,
    Work,
    arguments,
    autocast,
    begin,
    in_turns,
    median,
    random_image,
    show,
)
from measuring import network as make_network
from torch.nn import functional

from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol

GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """One precision: rates in GFLOP/s; percent of the faster product, by wall and by processor time."""

    precision: str
    gflop: float
    seconds: float
    encoder_rate: float
    square_rate: float
    shaped_rate: float
    percent: float
    cpu_percent: float


def shapes(config: SegVolConfig) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of the four linear layers of a block."""
    count, width = _tokens(config), config.width
    pairs = ((width, 3 * width), (width, width), (width, config.mlp), (config.mlp, width))
    return [(count, inputs, outputs) for inputs, outputs in pairs]


def encoder_flop(config: SegVolConfig) -> float:
    """Multiplications and additions in the products of one encoding (a linear patch embedding, no stem)."""
    count, width = _tokens(config), config.width
    pd, ph, pw = config.patch
    linear = sum(2 * rows * inputs * outputs for rows, inputs, outputs in shapes(config))
    attention = 2 * 2 * count * count * width
    return 2.0 * count * pd * ph * pw * width + config.depth * (linear + attention)


def measure(model: SegVol, precision: Precision, *, rounds: int, square: int = 3072) -> Row:
    """Encoder and baselines in turns; every rate is the median over rounds, as is the percentage."""
    config = model.config
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    image = random_image(config.window)
    side = torch.rand(square, square, dtype=dtype)
    layers = [
        (torch.rand(rows, inputs, dtype=dtype), torch.rand(outputs, inputs, dtype=dtype))
        for rows, inputs, outputs in shapes(config)
    ]
    flop = {
        "encoder": encoder_flop(config),
        "square": 2.0 * square**3,
        "shaped": sum(2.0 * rows * inputs * outputs for rows, inputs, outputs in shapes(config)),
    }

    def encode() -> None:
        with autocast(precision):
            model.encode(image, [None])

    # The baselines are repeated until they do as much work as the encoder, so that noise falls upon all alike.
    works: dict[str, Work] = {
        "encoder": encode,
        "square": lambda: _repeat(lambda: side @ side, flop["encoder"] / flop["square"]),
        "shaped": lambda: _repeat(
            lambda: [functional.linear(values, weight) for values, weight in layers], flop["encoder"] / flop["shaped"]
        ),
    }
    with torch.inference_mode():
        spent = in_turns(works, rounds)
    done = {name: flop[name] * (1 if name == "encoder" else _times(flop["encoder"] / flop[name])) for name in flop}
    rates = {name: done[name] / GIGA / median(spent[name]) for name in flop}
    return Row(
        precision,
        flop["encoder"] / GIGA,
        median(spent["encoder"]),
        rates["encoder"],
        rates["square"],
        rates["shaped"],
        *(_percent(spent, done, clock) for clock in ("wall", "cpu")),
    )


def _percent(spent: dict[str, list[Spent]], done: dict[str, float], clock: str) -> float:
    rates = {name: done[name] / median(spent[name], clock) for name in done}
    return 100 * rates["encoder"] / max(rates["square"], rates["shaped"])


def _tokens(config: SegVolConfig) -> int:
    d, h, w = config.grid
    return d * h * w


def _times(count: float) -> int:
    return max(1, round(count))


def _repeat(work: Work, count: float) -> None:
    for _ in range(_times(count)):
        work()


def main() -> None:
    """Measure both precisions."""
    parser = arguments(__doc__)
    parser.add_argument("--blocks", type=int, help="measure so many of the 12 alike blocks (on a busy machine)")
    options = parser.parse_args()
    begin(options.threads)
    model = make_network(toy=options.toy, blocks=options.blocks)
    rows = [measure(model, precision, rounds=options.rounds) for precision in PRECISIONS]
    show(rows, as_json=options.json, title="Image encoder against matrix products (goals: 80 % fp32, 60 % bf16)")


if __name__ == "__main__":
    main()
