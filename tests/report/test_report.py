"""The report: every plot on easy and hard sweeps, the page is self-contained and escaped, the tables fit."""

import dataclasses
import math
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxvae.evaluate.ranking import rank
from jaxvae.report import PLOTS, reading, save_figures, summary, terminal_table, write_report
from jaxvae.report.encoding import Encoding
from jaxvae.types import LabelSwap, Manifold, Responses, Results, Showcase, ShownCodes
from pages import Page

SCORES = ("mig", "dci_disentanglement", "dci_completeness", "factor_vae", "beta_vae", "sap", "active_units")
LOSSES = ("reconstruction", "kl", "elbo")
GAP = "generalisation_gap"
EVERY_SCORE = (
    *("beta_vae", "factor_vae", "mig", "mig_sampled", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
    *("sap", "sap_continuous", "modularity", "explicitness", "irs", "gaussian_tc", "mutual_information"),
    *("active_units", "infom", "infoe", "infoc", "udr_spearman", "udr_lasso", "tad", "tad_attributes"),
    *("knn_accuracy", "linear_probe", "silhouette"),
    "a_score_of_tomorrow",
)
APART = ("reconstruction_seen", "reconstruction_unseen", "probe_seen", "probe_unseen", "mig_unseen")
FACTORS = ("shape", "scale", "orientation", "x_position", "y_position")


def sprites(rng, shape, amount):
    """Draw soft ellipses of random place and size: enough of an image to see what a figure does with it."""
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    place = rng.uniform(0.25, 0.75, (amount, 2, 1, 1)) * np.array([height, width])[:, None, None]
    radius = rng.uniform(0.1, 0.2, (amount, 2, 1, 1)) * np.array([height, width])[:, None, None]
    far = ((y - place[:, 0]) / radius[:, 0]) ** 2 + ((x - place[:, 1]) / radius[:, 1]) ** 2
    tint = rng.uniform(0.3, 1.0, (amount, 1, 1, channels)) if channels > 1 else 1.0
    return (1 / (1 + np.exp(6 * (far[..., None] - 1))) * tint).astype(np.float32)


def showcase(rng, title, lane, kl, shape):
    """Put a lane on show: latent 0 moves a sprite across, latent 1 makes it larger, the others do nothing."""
    width = shape[1]
    originals = sprites(rng, shape, 8)
    blurred = sum(np.roll(originals, (dy, dx), (1, 2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
    values = np.linspace(-2, 2, 9)
    one = originals[0]
    traversals = np.broadcast_to(one, (len(kl), len(values), *shape)).copy()
    for column, value in enumerate(values):
        strength = kl / (kl.max() + 1e-9)
        for latent in range(len(kl)):
            shift = round(float(value * strength[latent] * width / 8))
            traversals[latent, column] = np.roll(one, shift, axis=latent % 2)
    known = np.where(np.arange(len(FACTORS)) == (np.arange(len(kl)) % 7)[:, None], 0.7, 0.04)
    known[:, 0] = np.nan  # a factor that does not vary
    responses = answers(rng, len(kl))
    return Showcase(title, lane, originals, np.clip(blurred, 0, 1), traversals, values, kl, known, responses=responses)


def answers(rng, num_latents, sizes=(1, 4, 8, 16, 16)):
    """Let latent d rise with factor d and waver over the others; the first factor does not vary, a value is absent."""
    own = np.arange(len(sizes)) == (np.arange(num_latents) % 7)[:, None]
    wavering = [rng.normal(0, 0.1, (num_latents, size)) for size in sizes]
    rising = [np.linspace(-2, 2, size) for size in sizes]
    means = np.concatenate([np.where(own[:, k, None], rising[k], wavering[k]) for k in range(len(sizes))], axis=1)
    means[:, 3] = np.nan
    explained = np.where(own, 0.9, 0.02)
    explained[:, 0] = np.nan
    return Responses(means, np.where(np.isnan(means), np.nan, 0.3), explained, sizes)


def results_of(
    lanes,
    *,
    hyper_names,
    swept,
    score_names=SCORES,
    diverged=None,
    latents=10,
    shape=(32, 32, 1),
    critics=(),
    steps=40,
    shows=3,
    watched=(),
    split=False,
):
    """Fill rows of (objective, architecture, hypers) with numbers that move as they do in the literature.

    Args:
        diverged: {index of a lane: step}; its scores are NaN, or missing altogether for odd indices.
        split: whether the evaluation set is another than the training set.
    """
    rng = np.random.default_rng(0)
    diverged = diverged or {}
    rows, kls = [], []
    losses = (*LOSSES, GAP) if split else LOSSES
    watched = (*watched, *(("eval_kl", "eval_loss") if split else ()))
    history = {
        name: []
        for name in ("lane", "step", "loss", "nll", "kl", *(("tc", "critic_accuracy") if critics else ()), *watched)
    }
    for index, lane in enumerate(lanes):
        beta = lane.get("beta") or 1.0
        pressure = math.log2(beta + 1) + (math.log10(lane["gamma"]) * 0.6 if lane.get("gamma") else 0)
        kl = np.sort(np.maximum(0, rng.normal(4.5 - 0.9 * pressure - 0.45 * np.arange(latents), 0.3)))[::-1]
        kl = rng.permutation(kl * np.minimum(1, 10 / latents) + 0.003)
        nll = 25 + 9 * pressure + rng.normal(0, 1.5)
        quality = np.clip(0.1 + 0.13 * pressure - 0.016 * pressure**2 + rng.normal(0, 0.04), 0, 1)
        measured = {
            name: np.clip(quality * factor + rng.normal(0, 0.02), 0, 1)
            for name, factor in zip(SCORES, (1, 1.5, 1.3, 1.9, 2.1, 0.3, 0), strict=True)
        }
        for name in (name for name in score_names if name not in SCORES):
            measured[name] = np.clip(0.8 * quality + rng.normal(0, 0.05), 0, 1) if name != "irs" else 0.5
        measured["active_units"] = float((kl > 0.01).sum())
        measured |= {"reconstruction": nll, "kl": kl.sum(), "elbo": -nll - kl.sum()}
        measured |= {GAP: rng.normal(2, 0.5)}
        measured = {name: float(measured[name]) for name in (*score_names, *losses)}
        row = {"lane": index, "objective": "beta_vae", "architecture": "conv", "status": "ok", **lane, **measured}
        if index in diverged:
            row["status"] = f"diverged at step {diverged[index]}"
            for name in measured:
                row[name] = None if index % 2 else math.nan
        rows.append(
            {name: row.get(name) for name in ("lane", "objective", "architecture", *hyper_names, "status", *measured)}
        )
        kls.append(kl)
        for step in np.linspace(0, 20000, steps).astype(int):
            fall = math.exp(-step / 1500)
            noise = rng.normal(0, 0.8)
            if index in diverged and step > diverged[index]:
                noise = math.nan
            now = {
                "lane": index,
                "step": step,
                "nll": nll + 600 * fall + noise,
                "kl": kl.sum() * (1 - fall) + 0.1 * noise,
            }
            now["loss"] = now["nll"] + beta * now["kl"]
            if critics:
                adversarial = row["objective"] in critics
                now["tc"] = 2 * fall + 0.2 + 0.05 * noise if adversarial else math.nan
                now["critic_accuracy"] = 0.5 + 0.4 * fall + 0.01 * noise if adversarial else math.nan
            told = measured | {"eval_kl": measured["kl"], "eval_loss": now["loss"] + 2}
            for name in watched:
                now[name] = told[name] * (1 - fall) if step % 4 == 0 and np.isfinite(noise) else math.nan
            for name in history:
                history[name].append(now[name])
    titles = ("best", "median", "worst")[:shows]
    main_score, ranked = rank(rows)
    healthy = ranked or (0,)
    shown = [healthy[0], healthy[len(healthy) // 2], healthy[-1]]
    return Results(
        spec={
            "objectives": ["beta_vae"],
            "dataset": "sprites",
            "steps": 20000,
            "latent_dim": latents,
            "sweep": list(swept),
        },
        environment={
            "device": "NVIDIA H200",
            "device_count": 1,
            "jax": "0.10.2",
            "flax": "0.12.8",
            "jaxvae": "0.1.0",
            "python": "3.11.7",
            "started": "2025-01-01T12:00:00",
            "wall_seconds": 754.3,
            "images_per_second": 183245.7,
            "seconds_per_lane": 62.8,
            "command": "python run_sweep.py --sweep=beta=1,2,4,8",
            "lanes_mode": "vmap",
        },
        lanes=rows,
        hyper_names=tuple(hyper_names),
        swept=tuple(swept),
        score_names=(*score_names, *losses),
        omitted={} if score_names != ("active_units",) else {"mig": "the data set has no factors"},
        history={name: np.asarray(column) for name, column in history.items()},
        kl_per_latent=np.asarray(kls),
        latent_statistics={
            "mean": rng.normal(0, 0.1, np.shape(kls)),
            "absolute_mean": np.sqrt(np.asarray(kls)),
            "variance_of_mean": 1 - np.exp(-np.asarray(kls)),
            "posterior_variance": np.exp(-np.asarray(kls)),
        },
        showcases=[showcase(rng, title, lane, kls[lane], shape) for title, lane in zip(titles, shown, strict=False)],
        factor_names=FACTORS,
        main_score=main_score,
        ranked=ranked,
    )


def mixed():
    """Return results to which every plot applies."""
    lanes = [{"beta": float(b), "seed": s} for b in (1, 2, 4, 8) for s in (0, 1)]
    lanes += [{"objective": "factor_vae", "beta": 1.0, "gamma": float(g), "seed": s} for g in (10, 40) for s in (0, 1)]
    results = results_of(
        lanes,
        hyper_names=("beta", "gamma", "lr", "seed"),
        swept=("beta", "gamma", "seed"),
        diverged={7: 9000},
        critics=("factor_vae",),
        score_names=(*EVERY_SCORE, *APART),
        watched=("reconstruction", "elbo", "mig", "gaussian_tc"),
        split=True,
    )
    swaps = [
        LabelSwap("shape", np.arange(3), np.arange(3) % 3, np.repeat(show.reconstructions[:3, None], 3, axis=1))
        for show in results.showcases
    ]
    rng = np.random.default_rng(0)
    shown = []
    for show, swap in zip(results.showcases, swaps, strict=True):
        values = rng.integers(3, size=60)
        codes = ShownCodes(rng.normal(size=(60, 10)) + 3 * values[:, None], values, "shape", (0, 1, 2))
        plane = Manifold(np.broadcast_to(show.originals[:5, None], (5, 5, *show.originals.shape[1:])), np.arange(5) / 4)
        shown.append(show._replace(swaps=(swap,), codes=codes, manifold=plane))
    return dataclasses.replace(results, showcases=shown)


def large():
    lanes = [{"beta": float(b), "seed": s} for b in (1, 2, 4, 6, 8, 16, 32, 64) for s in range(8)]
    return results_of(lanes, hyper_names=("beta", "seed"), swept=("beta", "seed"), diverged={60: 300, 63: 12000})


def families():
    lanes = [
        {"objective": objective, "architecture": architecture, "beta": float(beta), "gamma": gamma, "seed": seed}
        for objective, gammas in (("beta_vae", [None]), ("free_bits+tc_critic", [5.0, 35.0]), ("vae", [None]))
        for gamma in gammas
        for architecture in ("conv", "mlp")
        for beta in ((1, 4, 16) if objective != "vae" else (1,))
        for seed in (0, 1)
    ]
    return results_of(lanes, hyper_names=("beta", "gamma", "seed"), swept=("beta", "gamma", "seed"))


def one_lane():
    return results_of([{"beta": 4.0, "seed": 0}], hyper_names=("beta", "seed"), swept=(), shows=1)


def only_seeds():
    lanes = [{"beta": 4.0, "seed": seed} for seed in range(5)]
    return results_of(lanes, hyper_names=("beta", "seed"), swept=("seed",), diverged={3: 100}, shape=(28, 20, 3))


def no_factors():
    lanes = [{"beta": beta, "seed": 0} for beta in (0.0, 0.1, 1.0, 100.0)]
    return results_of(
        lanes, hyper_names=("beta", "seed"), swept=("beta",), score_names=("active_units",), shape=(64, 64, 3)
    )


def all_diverged():
    lanes = [{"beta": beta, "seed": 0} for beta in (1.0, 4.0)]
    made = results_of(lanes, hyper_names=("beta", "seed"), swept=("beta",), diverged={0: 0, 1: 200}, latents=2)
    made.kl_per_latent = np.full_like(made.kl_per_latent, np.nan)
    return made


def bare():
    lanes = [{"lr": lr, "seed": 0} for lr in (1e-4, 3e-4, 1e-3)]
    made = results_of(lanes, hyper_names=("lr", "seed"), swept=("lr",), latents=50, shows=0)
    made.history = {}
    made.environment = {}
    made.spec = {}
    return made


def two_latents():
    lanes = [{"beta": 1.0, "capacity": c, "seed": s} for c in (0.0, 5.0, 25.0) for s in (0, 1)]
    return results_of(lanes, hyper_names=("beta", "capacity", "seed"), swept=("capacity", "seed"), latents=2, steps=1)


def fifty_latents():
    lanes = [{"beta": b, "lr": lr, "seed": 0} for b in (1.0, 4.0) for lr in (1e-4, 2e-4, 3e-4, 4e-4, 5e-4)]
    return results_of(lanes, hyper_names=("beta", "lr", "seed"), swept=("beta", "lr"), latents=50, shape=(28, 28, 1))


def thirteen_methods():
    """Every preset with its own number swept, of which few have beta."""
    own = {
        **{name: "beta" for name in ("beta_vae", "beta_tcvae", "hfvae", "vade")},
        **{"annealed_vae": "capacity", "factor_vae": "gamma", "clipped_factor_vae": "gamma", "free_bits_vae": "floor"},
        **{"dip_vae_i": "lambda_od", "dip_vae_ii": "lambda_od", "dd_vae": "spike", "label_guided_vae": "label_final"},
    }
    lanes = [{"objective": "vae", "seed": seed} for seed in (0, 1)]
    lanes += [
        {"objective": objective, name: value, "seed": seed}
        for objective, name in own.items()
        for value in (2.0, 6.0)
        for seed in (0, 1)
    ]
    names = (*dict.fromkeys(own.values()), "seed")
    diverged = {index: 100 for index, lane in enumerate(lanes) if lane["objective"] == "hfvae"} | {5: 300}
    return results_of(lanes, hyper_names=names, swept=names, diverged=diverged, latents=4)


SWEEPS = {
    made.__name__: made
    for made in (
        mixed,
        large,
        families,
        one_lane,
        only_seeds,
        no_factors,
        all_diverged,
        bare,
        two_latents,
        fifty_latents,
        thirteen_methods,
    )
}


@pytest.fixture(scope="module", params=SWEEPS)
def results(request):
    return SWEEPS[request.param]()


def figures_of(drawn):
    return [drawn] if isinstance(drawn, Figure) else list((drawn or {}).values())


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_copes_and_labels_its_axes(name, results, tmp_path):
    assert PLOTS[name].__doc__
    for number, made in enumerate(figures_of(PLOTS[name](results))):
        assert made.axes
        for axes in made.axes:
            shown = axes.get_visible() and axes.axison and (axes.lines or axes.collections or axes.images)
            words = (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), axes.get_title(loc="left"))
            assert not shown or any(words) or axes.get_xticklabels(), f"{name} has a panel without a word"
        made.savefig(tmp_path / f"{number}.png", dpi=40)
        assert (tmp_path / f"{number}.png").stat().st_size > 1000


def test_scores_of_seen_and_unseen_images_are_not_taken_for_scores_of_all():
    results = mixed()
    assert reading.apart(results) == list(APART)
    for listed in (reading.scores, reading.disentanglement_scores, reading.losses):
        assert not set(listed(results)) & set(APART)
    seen = PLOTS["seen_and_unseen"](results).axes[0].collections[0].get_offsets()
    pairs = {tuple(lane[f"reconstruction{end}"] for end in ("_seen", "_unseen")) for lane in results.lanes}
    assert set(map(tuple, np.asarray(seen).tolist())) <= pairs


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (mixed, set()),
        (
            bare,
            {"training_curves", "score_curves", "traversals", "reconstructions", "information_maps", "udr"}
            | {"generalisation", "responses"},
        ),
        (no_factors, {"trade_off", "score_curves", "udr"}),
        (one_lane, {"agreement", "udr", "method_comparison", "latent_statistics"}),
        (large, {"method_comparison", "generalisation", "seen_and_unseen"}),
        (only_seeds, {"latent_statistics"}),
    ],
)
def test_plots_that_do_not_apply_are_left_out(made, missing):
    drawn = {name for name, plot in PLOTS.items() if figures_of(plot(made()))}
    assert not drawn & missing
    assert missing or drawn == set(PLOTS)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """The figures of one sweep, put into the pages of all: drawing them is tested above."""
    return save_figures(mixed(), tmp_path_factory.mktemp("figures"))


def test_the_page_is_self_contained_and_complete(results, figures, tmp_path):
    path = tmp_path / "report.html"
    write_report(results, path, figures)
    page = Page(path.read_text())
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!data:)", path.read_text())
    assert page.tags.count("img") == len(figures)
    for lane in results.lanes:
        assert re.search(rf"\b{lane['lane']}\b", page.text)
        if lane["status"] != "ok":
            assert lane["status"] in page.text
    for metric, reason in results.omitted.items():
        assert metric.lower() in page.text.lower() and reason in page.text
    assert ("Median [least, greatest]" in page.text) == bool(reading.methods(results))


def test_what_users_write_is_escaped(tmp_path):
    results = one_lane()
    results.spec = {**results.spec, "data_dir": "<script>alert(1)</script>"}
    results.environment = {**results.environment, "command": "run --x='<img src=http://evil>'"}
    results.omitted = {"mig": "<b>no factors</b>"}
    write_report(results, tmp_path / "report.html", {})
    text = (tmp_path / "report.html").read_text()
    assert "<script>alert(1)" not in text and "<img src=http" not in text and "<b>no factors" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_terminal_table_fits_and_names_what_diverged(results):
    lines = terminal_table(results).splitlines()
    assert lines and max(map(len, lines)) <= 120
    text = "\n".join(lines)
    if len(results.lanes) <= 30:
        for lane in results.lanes:
            assert lane["status"] in text


def test_the_summary_says_what_came_out():
    text = " ".join(summary(mixed()))
    best = max((lane for lane in mixed().lanes if lane["status"] == "ok"), key=lambda lane: lane["mig"])
    assert f"lane {best['lane']}" in text
    assert "diverged" in " ".join(summary(all_diverged()))


def test_a_value_at_which_all_lanes_diverged_has_its_place_on_the_axis():
    results = mixed()
    results.lanes = [lane for lane in results.lanes if lane["objective"] == "beta_vae"]
    largest = max(lane["beta"] for lane in results.lanes)
    for lane in results.lanes:
        if lane["beta"] == largest:
            lane |= {"status": "diverged at step 3"} | dict.fromkeys(results.score_names, math.nan)
    for axes in PLOTS["scores"](results).axes:
        if axes.get_xlabel() == "beta":
            assert axes.get_xlim()[1] >= largest


def test_one_failing_plot_does_not_cost_the_others(monkeypatch, tmp_path):
    monkeypatch.setitem(PLOTS.data, "scores", lambda results: 1 / 0)
    for name in set(PLOTS) - {"scores", "kl_map"}:
        monkeypatch.delitem(PLOTS.data, name)
    saved = save_figures(mixed(), tmp_path)
    assert "scores" not in saved and "kl_map" in saved
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in saved.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(path.name for path in saved.values())


def test_a_family_that_does_not_sweep_the_main_hyper_stands_beside_its_axis():
    results = mixed()
    assert reading.main_hyper(results) == "beta"
    assert reading.moving_families(results) == [("beta_vae", "conv")]
    under = [axes.get_xlabel() for axes in PLOTS["losses"](results).axes]
    assert under == ["beta", "gamma"] * 4
    swept = PLOTS["losses"](results).axes[0]
    assert swept.get_xscale() == "log" and list(swept.get_xticks()) == [1.0, 2.0, 4.0, 8.0]


def test_the_main_hyper_is_beta_when_it_is_swept_else_another_but_never_the_seed():
    assert reading.main_hyper(two_latents()) == "capacity"
    assert reading.main_hyper(fifty_latents()) == "beta"
    assert reading.main_hyper(only_seeds()) is None


def test_losses_of_held_out_images_are_drawn_beside_those_of_training_and_nowhere_else():
    made = mixed()
    drawn = PLOTS["generalisation"](made)
    rows = len(reading.families(made))
    panels = [axes for axes in drawn.axes if axes.lines]
    assert len(panels) == 3 * rows
    solid, dashed = panels[2].lines[:2]  # the weighted total of beta_vae at beta 1: two seeds
    history, lanes = made.history, [0, 1]
    for line, name in ((solid, "loss"), (dashed, "eval_loss")):
        rows = np.isin(history["lane"], lanes) & np.isfinite(history[name])
        steps = np.unique(history["step"][rows])
        means = [history[name][rows & (history["step"] == step)].mean() for step in steps]
        np.testing.assert_allclose(line.get_xdata(), steps)
        np.testing.assert_allclose(line.get_ydata(), means)
    for name in ("training_curves", "score_curves"):
        titles = [axes.get_title(loc="left") for axes in PLOTS[name](made).axes]
        assert not any("eval" in title.lower() for title in titles)
    made.history = {name: column for name, column in made.history.items() if name != "eval_loss"}
    assert PLOTS["generalisation"](made) is None, "a sweep of an earlier version"


def test_latents_are_drawn_by_their_rank_in_each_lane():
    made = no_factors()
    drawn = PLOTS["latent_statistics"](made)[""]
    kl = np.asarray(made.kl_per_latent)
    most = kl.argmax(1)
    expected = {
        "KL (nats)": kl.max(1),
        "|Mean of means|": np.abs(made.latent_statistics["mean"])[range(4), most],
        "Mean posterior variance": made.latent_statistics["posterior_variance"][range(4), most],
    }
    for axes in drawn.axes:
        if axes.get_title(loc="left") in expected:
            line = axes.lines[-1]  # the most informative latent lies above the others
            np.testing.assert_allclose(line.get_xdata(), [0.0, 0.1, 1.0, 100.0])
            np.testing.assert_allclose(line.get_ydata(), expected.pop(axes.get_title(loc="left")))
    assert not expected
    made.latent_statistics = {}
    assert PLOTS["latent_statistics"](made) is None, "results from tables know nothing of latents"


def test_what_diverged_is_not_averaged():
    results = mixed()
    worst = results.lanes[7] | dict.fromkeys(results.score_names, 100.0)
    results.lanes[7] = worst
    assert reading.mean_and_spread([worst], "mig")[2] == 0
    (group,) = (group for group in reading.groups(results) if worst in group.lanes)
    assert len(group.lanes) == 2 and reading.mean_and_spread(group.lanes, "mig")[0] == results.lanes[6]["mig"]


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_healthy_lane_may_lack_a_score(missing, tmp_path):
    results = mixed()
    healthy = [lane for lane in results.lanes if lane["status"] == "ok"]
    healthy[0]["sap"] = missing  # of a setting with several lanes
    lonely = [lane for lane in healthy if lane["beta"] == healthy[-1]["beta"]]
    for lane in lonely:
        lane["sap"] = missing  # of a setting where no lane has it
    assert "nan" not in terminal_table(results).lower()
    assert all(PLOTS[name](results) is not None for name in ("scores", "trade_off"))
    write_report(results, tmp_path / "report.html", {})
    cells = (tmp_path / "report.html").read_text()
    assert ">nan<" not in cells.lower() and ">None<" not in cells and ">–<" in cells


def test_one_lane_is_not_drawn_as_a_lonely_dot():
    assert all(PLOTS[name](one_lane()) is None for name in ("scores", "losses", "rate_distortion", "trade_off"))


def test_a_wide_map_leaves_out_latents_that_are_off_in_every_lane():
    axes = PLOTS["kl_map"](fifty_latents()).axes[0]
    assert axes.images[0].get_array().shape == (10, 16) and "34 more are off" in axes.get_xlabel()


def test_methods_are_compared_over_settings_and_seeds():
    results = thirteen_methods()
    rows = {group.family[0]: group.lanes for group in reading.methods(results)}
    assert len(rows) == 13 and sum(map(len, rows.values())) == len(results.lanes)
    # One lane of beta_vae diverged, and all of hfvae.
    measured = sorted(lane["sap"] for lane in rows["beta_vae"] if lane["status"] == "ok")
    assert reading.median_and_range(rows["beta_vae"], "sap") == (measured[1], measured[0], measured[2], 3)
    assert reading.median_and_range(rows["hfvae"], "sap")[3] == 0
    assert all(reading.methods(made()) == [] for made in (one_lane, large, only_seeds))

    first, *others = PLOTS["method_comparison"](results).axes
    assert [label.get_text() for label in first.get_yticklabels()] == list(rows)
    assert first.get_title(loc="left") == "Reconstruction ↓" and len(others) + 1 == len(SCORES) + 2
    # The tick of a method stands at its median.
    middle = np.median([lane["reconstruction"] for lane in rows["dd_vae"]])
    assert any(np.allclose(line.get_xdata(), middle) for line in first.lines)
    assert "Median [least, greatest] of each objective." in terminal_table(results)


def test_many_methods_have_looks_of_their_own():
    crowd = Encoding(thirteen_methods())
    looks = {(crowd.hue(which), crowd.marker(which)) for which in crowd.families}
    assert len(looks) == len({(crowd.hue(which), crowd.dashes(which)) for which in crowd.families}) == 13
    assert [handle.get_label() for handle in crowd.handles()] == [name for name, _ in crowd.families]
    few = Encoding(mixed())
    assert few.on_scale == [("beta_vae", "conv")] and crowd.on_scale == []


def test_the_best_lane_is_the_one_that_ranks_first():
    results = mixed()
    assert reading.best_lane(dataclasses.replace(results, ranked=(3, 1)))["lane"] == 3
    assert reading.best_lane(dataclasses.replace(results, ranked=())) is None
