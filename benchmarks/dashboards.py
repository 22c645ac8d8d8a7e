"""Draw what the dashboards would show of a short run: `python -m benchmarks.dashboards URL [SECONDS]`.

Neither Prometheus nor Grafana is needed: `/metrics` is scraped every second while clients ask for things, and the
expressions of `deploy/grafana/*.json` are worked out from the scrapes by the few rules below. The pictures in `docs/`
are these drawings, not Grafana's.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import requests
from matplotlib.figure import Figure
from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).parents[1]
WINDOW: Final = 8
"""Seconds that a rate is taken over: Grafana's `$__rate_interval`."""
CLIENTS: Final = 3
NOTE: Final = "drawn with matplotlib from a short local run, by the dashboard's own expressions"
Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]
Scrape = Mapping[str, Vector]
_REDUCTIONS: Final[Mapping[str, Callable[[list[float]], float]]] = {"sum": sum, "max": max, "min": min}
_SUM: Final = re.compile(r"(sum|max|min)(?: by \(([^)]*)\))?\s*\((.*)\)")
_QUANTILE: Final = re.compile(r"histogram_quantile\(([\d.]+), (.*)\)")
_RATE: Final = re.compile(r"rate\((.*)\[[^\]]*\]\)")
_SELECTOR: Final = re.compile(r"(\w+)(?:\{(\w+)=\"([^\"]*)\"\})?")


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """Return an expression's values at the last of the scrapes, which are one second apart.

    Raises:
        ValueError: It is of a form that no dashboard has.
    """
    if " / " in expression:
        over, under = (evaluate(part, scrapes) for part in expression.split(" / "))
        return {labels: value / under[labels] for labels, value in over.items() if under.get(labels)}
    if match := _QUANTILE.fullmatch(expression):
        return _quantile(float(match[1]), evaluate(match[2], scrapes))
    if match := _SUM.fullmatch(expression):
        return _grouped(match[1], match[2], evaluate(match[3], scrapes))
    if match := _RATE.fullmatch(expression):
        first, last = (_selected(match[1], scrape) for scrape in (scrapes[0], scrapes[-1]))
        return {labels: (value - first.get(labels, 0.0)) / len(scrapes) for labels, value in last.items()}
    return _selected(expression, scrapes[-1])


def _selected(selector: str, scrape: Scrape) -> Vector:
    match = _SELECTOR.fullmatch(selector)
    if match is None:
        msg = f"no such form is known: {selector}"
        raise ValueError(msg)
    wanted = {(match[2], match[3])} if match[2] else set()
    return {labels: value for labels, value in scrape.get(match[1], {}).items() if wanted <= set(labels)}


def _grouped(how: str, by: str | None, vector: Vector) -> Vector:
    kept = {name.strip() for name in (by or "").split(",")}
    groups: defaultdict[Labels, list[float]] = defaultdict(list)
    for labels, value in vector.items():
        groups[tuple(pair for pair in labels if pair[0] in kept)].append(value)
    return {labels: _REDUCTIONS[how](values) for labels, values in groups.items()}


def _quantile(share: float, buckets: Vector) -> Vector:
    """Return quantiles as Prometheus does: straight lines within a bucket."""
    series: defaultdict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, value in buckets.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        series[rest].append((float(dict(labels)["le"]), value))
    return {labels: _within(share, sorted(bounds)) for labels, bounds in series.items() if max(bounds)[1] > 0}


def _within(share: float, bounds: Sequence[tuple[float, float]]) -> float:
    wanted, low, below = share * bounds[-1][1], 0.0, 0.0
    for bound, count in bounds:
        if count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / max(count - below, 1e-12)
        low, below = bound, count
    return low


def scraped(url: str) -> Scrape:
    """Return what the service exports now."""
    text = requests.get(f"{url}/metrics", timeout=10).text
    scrape: defaultdict[str, Vector] = defaultdict(dict)
    for sample in itertools.chain(*(family.samples for family in text_string_to_metric_families(text))):
        scrape[sample.name][*sorted({**sample.labels, "instance": url}.items())] = sample.value
    return scrape


def ask(url: str, stopped: threading.Event) -> None:
    """Ask for what people ask for, until it is enough."""
    api = f"{url}/api/v1"
    ids = [record["id"] for record in requests.get(f"{api}/molecules", timeout=10).json()["data"]]
    paths = ["/molecules?limit=20", "/molecules?count=exact&q=glycol", "/mixtures", "/no/such/thing", "/version"]
    for molecule_id, path in zip(itertools.cycle(ids), itertools.cycle(paths), strict=False):
        if stopped.is_set():
            return
        requests.get(f"{api}/molecules/{molecule_id}", timeout=10)
        requests.get(f"{api}{path}", timeout=10)


def draw(dashboard: Mapping[str, Any], scrapes: Sequence[Scrape]) -> Figure:
    """Return a dashboard's panels."""
    panels = dashboard["panels"]
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(13, 2.3 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{dashboard['title']} ({NOTE})", fontsize=9)
    for axes, panel in zip(figure.subplots(rows, 2, squeeze=False).flat, panels, strict=False):
        axes.set_title(panel["title"], fontsize=8)
        unit = panel["fieldConfig"]["defaults"]["unit"]
        axes.set_ylabel({"short": "", "percentunit": "share"}.get(unit, unit), fontsize=7)
        axes.tick_params(labelsize=6)
        for name, points in _lines(panel, scrapes).items():
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.set_ylim(top=axes.get_ylim()[1] * 1.05)
            axes.legend(fontsize=5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        else:
            axes.text(0.5, 0.5, "no data in this run", ha="center", transform=axes.transAxes, fontsize=7)
    return figure


def _lines(panel: Mapping[str, Any], scrapes: Sequence[Scrape]) -> dict[str, list[tuple[float, float]]]:
    lines: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for target in panel["targets"]:
        for second in range(WINDOW, len(scrapes)):
            for labels, value in evaluate(target["expr"], scrapes[second - WINDOW : second]).items():
                name = target["legendFormat"]
                for label, text in labels:
                    name = name.replace(f"{{{{{label}}}}}", text[:30])
                lines[name].append((second, value))
    return lines


def main(url: str, seconds: int = 45) -> None:
    """Run, scrape and draw."""
    stopped, scrapes = threading.Event(), list[Scrape]()
    clients = [threading.Thread(target=ask, args=(url, stopped)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    started = time.monotonic()
    for second in range(seconds):
        time.sleep(max(0.0, started + second - time.monotonic()))
        scrapes.append(scraped(url))
    stopped.set()
    for client in clients:
        client.join()
    for file in sorted((ROOT / "deploy" / "grafana").glob("*.json")):
        picture = ROOT / "docs" / f"dashboard-{file.stem}.png"
        draw(json.loads(file.read_text(encoding="utf-8")), scrapes).savefig(picture, dpi=80)
        print(picture.relative_to(ROOT), picture.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:3]))
