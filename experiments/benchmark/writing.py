"""What the benchmark found, as a sentence, a table and a figure. Knows only the lines of results.jsonl."""

import pathlib

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

import race_writing
from jaxvae.report import style


def _config(line: dict) -> str:
    dtype = "" if line["dtype"] == "float32" else f" {line['dtype']}"
    return f"{line['architecture']} {line['objective']}{dtype}"


def _who(line: dict) -> str:
    if not line["implementation"].startswith("jaxvae"):
        number = "one by one" if line["lanes"] == 1 else f"{line['lanes']} models at once"
        return f"{line['implementation'].replace('torch', 'PyTorch')}, {number}"
    return f"{line['lanes']} lane{'s' if line['lanes'] > 1 else ''}, {line['mode']}"


def _digits(value: float) -> str:
    """Return a number to three digits, thousands separated."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _between(found: dict, times: str = "") -> str:
    return f"{_digits(found['median'])}{times} ({_digits(found['min'])} to {_digits(found['max'])})"


def _share(line: dict, name: str) -> str:
    return f"{100 * line[name]:.0f}%" if name in line else ""


def sentence(line: dict) -> str:
    """Return one line for a terminal."""
    if line["suite"] == "machine":
        return (
            f"{line['device']}, {line['devices']} device(s): float32 product "
            f"{line['matmul_float32_flop_per_s'] / 1e9:,.0f} GFLOP/s, bfloat16 "
            f"{line['matmul_bfloat16_flop_per_s'] / 1e9:,.0f}, memory {line['bandwidth_bytes_per_s'] / 1e9:,.0f} GB/s"
        )
    if "error" in line:
        return f"{_config(line)}, {_who(line)}: {line['error']}"
    if line["suite"] == "start":
        stages = ", ".join(f"{stage[:-2]} {found['median']:.1f}" for stage, found in line["seconds"].items())
        return f"{_config(line)}, {_who(line)}, {line['cache']} start, seconds: {stages}"
    if line["suite"] == "metrics":
        return _metric_sentence(line)
    if line["suite"] == "job":
        parts = sorted(line["seconds"].items(), key=lambda part: -part[1]["median"])
        spent = ", ".join(f"{name} {_digits(found['median'])}" for name, found in parts if found["median"] >= 0.05)
        ratio = _between(line["not_training_over_training"])
        return f"{line['job']}, {line['cache']}: {ratio} seconds of other things for one of training; seconds: {spent}"
    if line["suite"] == "race":
        return race_writing.sentence(line)
    ratio = f", {_between(line['ratio'], ' x ')} {line['over']}" if "ratio" in line else ""
    shares = f", {_share(line, 'share_of_matmul')} of matmul" if "share_of_matmul" in line else ""
    devices = f", {line['devices']} device(s)" if line.get("scaled") == "devices" else ""
    if "value" in line:
        devices = f", {line['value']:,} {line['scaled']}"
    devices += f", {line['way']}" if "way" in line else ""
    return f"{_config(line)}, {_who(line)}{devices}: {_between(line['images_per_s'])} images/s{shares}{ratio}"


def _metric_sentence(line: dict) -> str:
    who = f"{line['lanes']} lane{'s' if line['lanes'] > 1 else ''}"
    if line["implementation"] != "jaxvae":
        return f"{line['metric']}, {line['implementation']}: {_between(line['seconds_per_lane'])} s"
    ratio = f", {_between(line['ratio'], ' x')} as fast as NumPy and scikit-learn" if "ratio" in line else ""
    seconds = f"{_between(line['seconds_per_lane'])} s a lane, compiled in {_digits(line['compile_s'])} s"
    return f"{line['metric']}, {who}: {seconds}{ratio}"


def _jobs_table(lines: list[dict]) -> str:
    """Return Markdown, a row for each part of each job."""
    header = ("seconds", *(f"{line['job']}, {line['cache']}" for line in lines))
    names = dict.fromkeys(name for line in lines for name, found in line["seconds"].items() if found["max"] >= 0.05)
    rows = [
        (name, *(_between(line["seconds"][name]) if name in line["seconds"] else "" for line in lines))
        for name in names
    ]
    return _markdown(header, [*rows, ("others / train", *(_between(x["not_training_over_training"]) for x in lines))])


def _metrics_table(lines: list[dict]) -> str:
    """Return Markdown, a row for each metric."""
    numbers = sorted({line["lanes"] for line in lines if line["implementation"] == "jaxvae"})
    header = ("metric", "NumPy and scikit-learn, s")
    for number in numbers:
        lanes = f"{number} lane{'s' if number > 1 else ''}"
        header += (f"{lanes}: s a lane", "faster by", "compiling, s")
    rows = []
    for name in dict.fromkeys(line["metric"] for line in lines):
        own = {
            line["lanes"] if line["implementation"] == "jaxvae" else 0: line for line in lines if line["metric"] == name
        }
        row = (f"`{name}`", _between(own[0]["seconds_per_lane"]) if 0 in own else "")
        for number in numbers:
            line = own.get(number)
            row += (
                (
                    _between(line["seconds_per_lane"]),
                    _between(line["ratio"], " x") if "ratio" in line else "",
                    _digits(line["compile_s"]),
                )
                if line
                else ("", "", "")
            )
        rows.append(row)
    return _markdown(header, rows)


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def table(lines: list[dict]) -> str:
    """Return Markdown: where and with what it was measured, then a table for each suite."""
    where = lines[0]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    parts = [f"{sentence(where)}. {versions}; commit {where['commit']}, {where['time']}, load {where['load']}."]

    found = [line for line in lines if line["suite"] == "train" and "error" not in line]
    if found:
        over = sorted({line["over"] for line in found if "over" in line})
        header = ("network and objective", "trained", "images/s", "ms a lane and step", "minutes a model*")
        header += ("of matmul", "of bandwidth")
        header += ("over the faster PyTorch",) if over else ()
        rows = []
        for line in found:
            row = (_config(line), _who(line), _between(line["images_per_s"]))
            row += (_digits(line["ms_per_lane_step"]["median"]), _digits(line["extrapolated_minutes_per_model"]))
            row += (_share(line, "share_of_matmul"), _share(line, "share_of_bandwidth"))
            rows.append(row + ((_between(line["ratio"], " x") if "ratio" in line else "1",) if over else ()))
        parts.append(_markdown(header, rows))
        parts.append("\\* 300,000 steps, extrapolated from steps/s; of a sweep, its share of the time.")

    for suite, title in (("ways", "Other ways to compute the same sweep"), ("anchors", "PyTorch's own ways")):
        found = [line for line in lines if line["suite"] == suite and "error" not in line]
        if found:
            header = ("network and objective", "trained", "way", "images/s", "ms a lane and step", "over")
            rows = [
                (
                    _config(line),
                    _who(line),
                    line.get("words", ""),
                    _between(line["images_per_s"]),
                    _between(line["ms_per_lane_step"]),
                    f"{_between(line['ratio'], ' x')} {line['over']}" if "ratio" in line else "",
                )
                for line in found
            ]
            parts += [f"{title}:", _markdown(header, rows)]

    grown = [line for line in lines if "value" in line]
    if grown:
        header = (
            "network and objective",
            "trained",
            "with",
            "ms a lane and step",
            "MB a lane",
            "MB of data",
            "MB in use",
        )
        rows = [
            (
                _config(line),
                _who(line),
                f"{line['value']:,} {line['scaled']}",
                _between(line["ms_per_lane_step"]),
                *(
                    _digits(line[n]) if n in line else ""
                    for n in ("megabytes_per_lane", "data_megabytes", "megabytes_in_use")
                ),
            )
            for line in grown
        ]
        parts.append(_markdown(header, rows))

    found = [line for line in lines if line["suite"] == "scale" and "error" not in line and "value" not in line]
    if found:
        header = ("network and objective", "trained", "devices", "images/s", "ms a lane and step", "of matmul")
        rows = [
            (
                _config(line),
                _who(line),
                str(min(line["devices"], line["lanes"])),
                _between(line["images_per_s"]),
                _digits(line["ms_per_lane_step"]["median"]),
                _share(line, "share_of_matmul"),
            )
            for line in found
        ]
        parts.append(_markdown(header, rows))

    found = [line for line in lines if line["suite"] == "start"]
    if found:
        stages = list(found[0]["seconds"])
        header = ("network and objective", "lanes", "start", *(f"{stage[:-2]}, s" for stage in stages))
        rows = [
            (
                _config(line),
                str(line["lanes"]),
                line["cache"],
                *(_digits(line["seconds"][stage]["median"]) for stage in stages),
            )
            for line in found
        ]
        parts.append(_markdown(header, rows))

    found = [line for line in lines if line["suite"] == "job"]
    if found:
        parts.append(_jobs_table(found))

    found = [line for line in lines if line["suite"] == "metrics"]
    if found:
        sizes = " x ".join(map(str, found[0]["sizes"]))
        parts.append(f"Scoring {found[0]['rows']:,} codes of {found[0]['latents']} latents, factors {sizes}:")
        parts.append(_metrics_table(found))

    found = [line for line in lines if line["suite"] == "race"]
    parts += [race_writing.table(found)] if found else []

    failed = [line for line in lines if "error" in line]
    parts += ["\n".join(f"- {sentence(line)}" for line in failed)] if failed else []
    return "\n\n".join(parts) + "\n"


@style.styled
def save_figure(lines: list[dict], path: pathlib.Path) -> None:
    """Draw images/s over lanes, and what a lane costs over lanes; PyTorch is a dashed line of the same colour.

    Nothing is drawn when no number of lanes was timed.
    """
    timed = [line for line in lines if line["suite"] in ("train", "scale") and "error" not in line]
    timed = [line for line in timed if "scaled" not in line]
    ours = [line for line in timed if line["implementation"] == "jaxvae"]
    if not ours:
        return
    names = list(dict.fromkeys(_config(line) for line in ours))
    made, (rate, cost) = style.panels(2, extra_width=2.0)
    handles = []
    for index, name in enumerate(names):
        colour = style.QUALITATIVE[index % len(style.QUALITATIVE)]
        marker = style.MARKERS[index % len(style.MARKERS)]
        # The scale suite is another measurement of the same thing: drawn where the train suite has fewer points.
        groups = [[line for line in ours if _config(line) == name and line["suite"] == s] for s in ("train", "scale")]
        group = max(groups, key=lambda found: len({line["lanes"] for line in found}))
        best = {}
        for line in group:
            if line["images_per_s"]["median"] > best.get(line["lanes"], line)["images_per_s"]["median"] * 0.999999:
                best[line["lanes"]] = line
        points = [best[lanes] for lanes in sorted(best)]
        lanes = [line["lanes"] for line in points]
        rates = [line["images_per_s"] for line in points]
        errors = [[r["median"] - r["min"] for r in rates], [r["max"] - r["median"] for r in rates]]
        rate.errorbar(lanes, [r["median"] for r in rates], errors, color=colour, marker=marker, capsize=3)
        peers = [line for line in timed if _config(line) == name and line["implementation"] != "jaxvae"]
        peer = max((line["images_per_s"]["median"] for line in peers), default=None)
        if peer:
            rate.axhline(peer, color=colour, linestyle="--", linewidth=1.4)
        costs = [line["ms_per_lane_step"]["median"] for line in points]
        unit = points[0]["batch_size"] * 1e3 / peer if peer else costs[0]
        cost.plot(lanes, [c / unit for c in costs], color=colour, marker=marker)
        handles.append(Line2D([], [], color=colour, marker=marker, label=name))
    compared = any(line["implementation"] != "jaxvae" for line in timed)
    if compared:
        cost.axhline(1.0, color=style.FAINT, linestyle="--", linewidth=1.4)
        handles.append(Line2D([], [], color=style.FAINT, linestyle="--", label="PyTorch, one model after another"))
    every = sorted({line["lanes"] for line in ours})
    for axes in (rate, cost):
        axes.set_xscale("log", base=2)
        axes.set_xticks(every, [str(number) for number in every])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("lanes trained together")
    rates = [line["images_per_s"]["median"] for line in timed]
    if max(rates) > 10 * min(rates):
        rate.set_yscale("log")
        rate.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        rate.yaxis.set_minor_locator(NullLocator())
    else:
        rate.set_ylim(0)
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    rate.set_title("images per second, all lanes")
    cost.set_ylim(0, 1.08 * cost.get_ylim()[1])
    cost.set_title("time for a lane's step, " + ("PyTorch's is 1" if compared else "the first point is 1"))
    style.legend_above(made, handles)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, dpi=style.DPI)


@style.styled
def save_growth(lines: list[dict], path: pathlib.Path) -> None:
    """Draw what a lane's step costs against each thing that was varied, devices among them; nothing where none was."""
    grown = [line for line in lines if "scaled" in line and "error" not in line]
    names = list(dict.fromkeys(line["scaled"] for line in grown))
    if not names:
        return
    made, every = style.panels(len(names))
    for axes, name in zip(every, names, strict=True):
        points = [line for line in grown if line["scaled"] == name]
        values = [line.get("value", line["devices"]) for line in points]
        costs = [line["ms_per_lane_step"] for line in points]
        errors = [[c["median"] - c["min"] for c in costs], [c["max"] - c["median"] for c in costs]]
        axes.errorbar(values, [c["median"] for c in costs], errors, color=style.QUALITATIVE[0], marker="o", capsize=3)
        axes.set_xscale("log")
        axes.set_xticks(values, [_short(value) for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.set_xlabel(name)
        axes.set_ylabel("ms a lane and step")
    made.savefig(path, dpi=style.DPI)


def _short(value: int) -> str:
    return f"{value / 1000:.0f}k" if value >= 10_000 else str(value)
