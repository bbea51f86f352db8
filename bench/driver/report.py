"""Medians with their spread: aligned tables for people, JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from .rows import LATENCY, MEMORY, THROUGHPUT, TIME, WAITING, Metrics, Row


@dataclass(frozen=True)
class Column:
    """One figure of a table."""

    key: str
    title: str
    decimals: int = 0
    scale: float = 1.0
    compared: bool = True
    """Whether a ratio of two brokers says something about the brokers."""


COLUMNS = {
    THROUGHPUT: [
        Column("records_per_s", "k rec/s", 0, 1e-3),
        Column("mb_per_s", "MB/s"),
        Column("cpu_s_per_gb", "CPU-s/GB", 2),
        Column("cpu_s_per_m", "CPU-s/M", 2),
        Column("with_rest_cpu_s_per_gb", "+rest/GB", 2),
        Column("client_cpu_s_per_gb", "client/GB", 2, compared=False),
        Column("rest_cores", "rest cores", 2, compared=False),
    ],
    LATENCY: [
        Column("p50_us", "p50 µs"),
        Column("p99_us", "p99 µs"),
        Column("p999_us", "p99.9 µs"),
        Column("max_us", "max µs"),
        Column("lag_p99_us", "lag p99 µs", compared=False),
        Column("records_per_s", "k rec/s", 1, 1e-3),
        Column("cpu_s_per_m", "CPU-s/M", 2),
        Column("rest_cores", "rest cores", 2, compared=False),
    ],
    MEMORY: [
        Column("rss_mib", "RSS MiB", 1),
        Column("pss_mib", "PSS MiB", 1),
        Column("peak_mib", "peak MiB", 1),
        Column("cpu_percent", "CPU %", 1),
    ],
    WAITING: [
        Column("cpu_percent", "CPU %", 1),
        Column("wake_one_us", "wake 1 µs"),
        Column("wake_all_ms", "wake all ms"),
        Column("rss_mib", "RSS MiB", 1),
        Column("peak_mib", "peak MiB", 1),
    ],
    TIME: [Column("ready_ms", "ready ms", 1), Column("first_ms", "first ms", 1)],
}


@dataclass
class Result:
    """What the runs of a row gave, for each broker."""

    row: Row
    runs: dict[str, list[Metrics]] = field(default_factory=dict)
    durability: dict[str, str] = field(default_factory=dict)
    failure: str | None = None

    def spread(self, side: str, key: str) -> tuple[float, float, float]:
        """The median, the least and the most."""
        values = [run[key] for run in self.runs[side]]
        return median(values), min(values), max(values)

    def ratio(self, first: str, second: str, key: str) -> float | None:
        """The median of the ratios of the runs, pair by pair."""
        pairs = zip(self.runs[first], self.runs[second], strict=False)
        ratios = [one[key] / other[key] for one, other in pairs if other[key]]
        return median(ratios) if ratios else None

    def as_json(self) -> dict:
        """All of it."""
        sides = {}
        for side, runs in self.runs.items():
            keys = runs[0].keys() if runs else []
            spreads = {key: dict(zip(("median", "min", "max"), self.spread(side, key), strict=True)) for key in keys}
            sides[side] = {"durability": self.durability[side], "metrics": spreads, "runs": runs}
        told = {"name": self.row.name, "what": self.row.what, "table": self.row.table, "brokers": sides}
        if self.failure:
            told["failure"] = self.failure
        return told


def tables(results: Sequence[Result]) -> str:
    """The tables: a line for each row and broker, and one of ratios for each other broker than the first."""
    parts = []
    for table, columns in COLUMNS.items():
        lines = [["row", "broker", "durability", *(column.title for column in columns)]]
        for result in results:
            if result.row.table == table:
                lines.extend(_lines(result, columns))
        if len(lines) > 1:
            parts.append(_aligned(lines))
    return "\n\n".join(parts)


def in_short(result: Result) -> str:
    """A row's most telling figure, for those who wait."""
    column = COLUMNS[result.row.table][-1 if result.row.table == TIME else 0]
    told = [f"{side} {_figure(column, result.spread(side, column.key))}" for side, runs in result.runs.items() if runs]
    return f"{result.row.name}: {'; '.join(told)} {column.title}" if told else f"{result.row.name}: failed"


def _lines(result: Result, columns: Sequence[Column]) -> list[list[str]]:
    lines = []
    for side, runs in result.runs.items():
        if runs:
            figures = [_figure(column, result.spread(side, column.key)) for column in columns]
            lines.append([result.row.name, side, result.durability[side], *figures])
    first, *others = (side for side, runs in result.runs.items() if runs) if lines else [""]
    for second in others:
        ratios = [result.ratio(first, second, column.key) if column.compared else None for column in columns]
        told = ["-" if ratio is None else f"{ratio:.3g} x" for ratio in ratios]
        lines.append([result.row.name, f"{first}/{second}", "", *told])
    if result.failure:
        lines.append([result.row.name, f"FAILED: {result.failure.splitlines()[0]}"])
    return lines


def _figure(column: Column, spread: tuple[float, float, float]) -> str:
    middle, least, most = (f"{value * column.scale:,.{column.decimals}f}" for value in spread)
    return middle if least == most else f"{middle} ({least}..{most})"


def _aligned(lines: list[list[str]]) -> str:
    whole = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(len(line[index]) for line in whole) for index in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if index < 3 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=False))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
