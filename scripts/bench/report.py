"""The tables that are printed, the CSV files, the tables of the book's page, and the plot."""

import csv
from dataclasses import asdict
from itertools import product

from scripts.bench.results import Row, mask_name, pass_name
from scripts.bench.targets import TARGETS


def measured(results, lengths):
    """The time ratios and the peaks, a line for each comparison and pass."""
    lines = [f"{'median time ratio; peak MiB / the other one’s':72}" + "".join(f"{f'N = {n}':>22}" for n in lengths)]
    for (suite, what, backward, causal), cells in _compared(results).items():
        text = "".join(f"{cells.get(n, ''):>22}" for n in lengths)
        lines.append(f"{suite:20} {what:33} {'f+b' if backward else 'f':4} {mask_name(causal):11}{text}")
    return lines


def _compared(results):
    """`{(suite, form / other, backward, causal): {length: time ratio; peak / peak}}`."""
    cells = {}
    for row in results.rows():
        key = row.suite, f"{row.form} / {row.against}", row.backward, row.causal
        memory = "" if row.mib is None else f"; {row.mib:.0f} / {row.against_mib:.0f}"
        cells.setdefault(key, {})[row.length] = f"{row.ratio:.2f}{memory}"
    return cells


def counted(results):
    return [f"{name:84}{value:>12.4g}" for name, value in results.values.items()]


def verdicts(results, lengths):
    """`[(target, worst, where, verdict)]`."""
    return [(target, *target.verdict(results, lengths)) for target in TARGETS]


def judged(found):
    """The table of the targets, and a last line that names what was missed."""
    lines = [f"{'target':67} {'at most':>8} {'measured':>9}  {'':12}  the worst of them"]
    for target, worst, where, verdict in found:
        number = "" if worst is None else f"{worst:.3f}"
        lines.append(f"{target.what:67} {target.limit:8.3f} {number:>9}  {verdict.upper():12}  {where}".rstrip())
    names = {
        word: [t.what for t, *_, verdict in found if verdict == word] for word in ("met", "missed", "not measured")
    }
    lines += ["", ", ".join(f"{len(which)} {word}" for word, which in names.items()) + " of " + f"{len(found)} targets"]
    return lines + [f"MISSED: {what}" for what in names["missed"]]


def write(results, found, folder, description):
    """`measurements.csv`, `counts.csv`, `targets.csv`, `machine.txt`, `tables.md` and `bench.png` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = results.rows()
    _csv(folder / "measurements.csv", Row.__dataclass_fields__, (asdict(row).values() for row in rows))
    _csv(folder / "counts.csv", ("what", "value"), results.values.items())
    verdict = ((t.what, t.least, t.limit, worst, where, word) for t, worst, where, word in found)
    _csv(folder / "targets.csv", ("target", "at least", "at most", "measured", "where", "verdict"), verdict)
    (folder / "machine.txt").write_text("\n".join(description) + "\n", encoding="utf-8")
    tables = markdown(results, found, description)
    (folder / "tables.md").write_text("\n".join(tables) + "\n", encoding="utf-8", newline="\n")
    plot(rows, folder / "bench.png", description)


def markdown(results, found, description):
    """What book/reference/speed.md includes: each table after a comment that names it."""
    verdicts = [
        (t.what, f"{t.limit:.3g}", "" if worst is None else f"{worst:.2f}", verdict, where)
        for t, worst, where, verdict in found
    ]
    pieces = [(name, f"{value:.2f}") for name, value in results.values.items() if name.endswith("'s time")]
    lengths = sorted({length for _, length, _ in results.races})
    ratios = [
        (suite, what, pass_name(backward), mask_name(causal), *(cells.get(n, "") for n in lengths))
        for (suite, what, backward, causal), cells in _compared(results).items()
    ]
    header = "", "form / other", "pass", "keys", *(f"N = {n}" for n in lengths)
    return [
        *("<!-- machine -->", "", *(f"- {line}" for line in description), ""),
        *("<!-- targets -->", "", *_table(("what", "at most", "measured", "", "the worst of them"), verdicts), ""),
        *("<!-- pieces -->", "", *_table(("what", "share"), pieces), ""),
        *("<!-- ratios -->", "", *_table(header, ratios), ""),
        "<!-- end -->",
    ]


def _table(header, rows):
    return [f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows)]


def _csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def plot(rows, path, description):
    """A panel for each pass and mask, a line for each comparison, from its quartiles: below 1 is faster."""
    import matplotlib  # here, so that the cases can be run without it

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(15, 11), sharex=True, sharey=True, layout="constrained")
    names = list(dict.fromkeys((row.suite, row.form, row.against) for row in rows))
    for panel, (backward, causal) in zip(axes.flat, product((False, True), repeat=2), strict=True):
        for number, name in enumerate(names):
            its = sorted(
                (r for r in rows if (r.suite, r.form, r.against, r.backward, r.causal) == (*name, backward, causal)),
                key=lambda r: r.length,
            )
            if its:
                ratios = [r.ratio for r in its]
                error = [[r.ratio - r.low for r in its], [r.high - r.ratio for r in its]]
                label = f"{name[0]}: {name[1]} / {name[2]}"
                style = {"color": f"C{number % 10}", "marker": "os^"[number // 10], "capsize": 3}
                panel.errorbar([r.length for r in its], ratios, yerr=error, label=label, **style)
        panel.axhline(1, color="black", linewidth=0.8)
        title = f"{pass_name(backward)}, {mask_name(causal)}"
        panel.set(xscale="log", yscale="log", title=title, xlabel="N", ylabel="time ratio, median and quartiles")
    handles = {}
    for panel in axes.flat:
        lines, labels = panel.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    if handles:
        figure.legend(handles.values(), handles, loc="outside right upper")
    figure.suptitle("\n".join(["attnlib: 8 heads of 64, float32, one sequence", *description]), fontsize="medium")
    figure.savefig(path, dpi=110)
    plt.close(figure)
