"""Which cars have got their colours after a few hundred steps: a matter of the seed, not of the method.

jaxvae --flagfile=experiments/cars.flags --data_dir=FOLDER_OF_CAR_MESH_FILES
python experiments/cars.py --data_dir=FOLDER_OF_CAR_MESH_FILES --sweep=runs/cars

The sweep is the flag file's; this opens it, prints what every lane has kept of colour, and draws what the lanes of one
method make of the same cars. On the pixels of a car (an original darker than 0.9 in some channel), of every seventh
image: chroma is the largest channel less the least, `brightness` the correlation of the mean of a car in an original
and in its reconstruction, `outline` the overlap (intersection over union) of pixels below 0.75 and the car.

17 seconds of CPU time for nine lanes (2026-11-26), 330 images of 24 cars; chroma of originals 0.097. Seed 0, 1, 2:

  VAE               chroma 0.066, 0.029, 0.021; brightness 0.96, 0.56, 0.50; outline 0.87, 0.88, 0.89
  beta-VAE, beta 4  chroma 0.067, 0.023, 0.019; brightness 0.93, 0.58, 0.29; outline 0.88, 0.88, 0.87
  FactorVAE         chroma 0.071, 0.027, 0.019; brightness 0.96, 0.63, 0.48; outline 0.88, 0.87, 0.88

Every lane knows the outline. Those of seed 0 know red from white as well, whatever the method; the others paint all
cars nearly one grey (figures/cars_colours.png). A seed draws the same first weights and batches for every method. 400
steps of 24 cars are few: whether the others catch up is not known.
"""

import common
import numpy as np
from absl import app, flags

import jaxvae
from jaxvae.report import style
from jaxvae.report.images import tiles

flags.DEFINE_string("sweep", "runs/cars", "Folder of the flag file's sweep.")
flags.DEFINE_integer("every", 7, "Measure every so many images; 7 meets all cars, all sides, all elevations.")
flags.DEFINE_enum("show", "vae", ["vae", "beta_vae", "factor_vae"], "Whose lanes to draw.")
FLAGS = flags.FLAGS
SHOWN = 10  # cars in the figure


def main(_):
    sweep = jaxvae.load_sweep(FLAGS.sweep + "_quick" * FLAGS.quick)
    data = jaxvae.data.load("cars3d", data_dir=FLAGS.data_dir)
    originals = np.asarray(data.batch(np.arange(0, len(data), FLAGS.every)))
    lanes = range(len(sweep.results))
    rows = [
        {**_named(sweep.results[lane]), **kept(originals, np.asarray(sweep.model(lane).reconstruct(originals)))}
        for lane in lanes
    ]
    print(f"chroma of originals {chroma(originals, _is_car(originals)).mean():.3f}, {len(originals)} images")
    print(common.table(rows))
    common.keep("cars", rows)

    chosen = [lane for lane in lanes if sweep.results[lane]["objective"] == FLAGS.show]
    cars = data.factor_sizes[2]
    factors = [(1, (3 * k + 2) % 24, k * cars // SHOWN) for k in range(SHOWN)]
    common.keep("cars_colours", figure(sweep, chosen, np.asarray(data.batch(data.index(np.array(factors))))))


def _named(row) -> dict:
    return {"objective": row["objective"], "seed": int(row["seed"])}


def _is_car(originals):
    """Return bool[N, H, W], where images f32[N, H, W, 3] are not the white around the car."""
    return originals.min(-1) < 0.9


def _on_car(values, car):
    """Return the mean [N] of values [N, H, W] over the pixels of a car."""
    return (values * car).sum((1, 2)) / car.sum((1, 2))


def chroma(images, car):
    """Return the largest channel less the least, f32[N], the mean over a car's pixels."""
    return _on_car(images.max(-1) - images.min(-1), car)


def kept(originals, rebuilt) -> dict[str, float]:
    """Return what reconstructions f32[N, H, W, 3] have kept of the originals' colour, brightness and outline."""
    car, dark = _is_car(originals), rebuilt.mean(-1) < 0.75
    brightness = [_on_car(images.mean(-1), car) for images in (originals, rebuilt)]
    return {
        "chroma": float(chroma(rebuilt, car).mean()),
        "brightness": float(np.corrcoef(*brightness)[0, 1]),
        "outline": float((dark & car).sum() / (dark | car).sum()),
    }


@style.styled
def figure(sweep, lanes, originals):
    """Draw the originals, and below them what each of the lanes makes of them."""
    rows = [originals, *(np.asarray(sweep.model(lane).reconstruct(originals)) for lane in lanes)]
    made = style.figure(1.2 + 1.0 * len(originals), 0.6 + 1.0 * len(rows))
    axes = made.add_subplot()
    _, down = tiles(axes, np.stack(rows))
    axes.set_xticks([])
    axes.set_yticks(down, ["original", *(f"seed {int(sweep.results[lane]['seed'])}" for lane in lanes)])
    steps = int(sweep.results[lanes[0]]["step"])
    axes.set_title(f"{sweep.results[lanes[0]]['objective']}, {steps} steps: what each seed rebuilds", loc="left")
    return made


if __name__ == "__main__":
    app.run(main)
