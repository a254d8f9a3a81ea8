"""Makes the tables of docs/performance.md from recorded results."""

import statistics
from dataclasses import dataclass

WHAT = {
    "W1": "keep-alive, 64 connections, one token",
    "W2": "keep-alive, 64 connections, a new token each request",
    "W3": "a new TLS connection each request, one token",
    "W4": "invalid signatures, keep-alive, 64 connections",
    "W5": "bodies of 1 MiB, keep-alive, 16 connections",
    "W6": "500 requests a second, 64 connections, a new token each request",
    "W7": "10,000 idle TLS connections",
}
Rows = list[dict]


@dataclass
class Aim:
    """A target: `hookgate` has at most `limit` times the figure of `peer`, or at most `limit` if there is no peer."""

    workload: str
    algorithm: str
    figure: str
    limit: float
    peer: str | None


AIMS = [
    Aim("W1", "rs256", "cpu_us", 1.0, "nginx-noauth"),
    Aim("W1", "rs256", "peak_mib", 15, None),
    Aim("W2", "rs256", "cpu_us", 0.66, "haproxy28-jwt"),
    Aim("W2", "rs256", "cpu_us", 0.38, "envoy-jwt"),
    Aim("W2", "es256", "cpu_us", 0.75, "haproxy28-jwt"),
    Aim("W3", "rs256", "cpu_us", 0.55, "envoy-jwt"),
    Aim("W4", "rs256", "cpu_us", 0.65, "haproxy28-jwt"),
    Aim("W5", "rs256", "cpu_us", 0.75, "envoy-jwt"),
    Aim("W6", "rs256", "p50_us", 1.0, "nginx-noauth"),
    Aim("W6", "rs256", "p99_us", 1.0, "haproxy28-jwt"),
    Aim("W7", "rs256", "kib_each", 1.0, "nginx-noauth"),
]
FIGURES = {"cpu_us": "CPU µs", "p50_us": "p50 µs", "p99_us": "p99 µs", "kib_each": "KiB each", "peak_mib": "peak MiB"}


def tables(rows: Rows) -> str:
    abouts = [row["about"] for row in rows if "about" in row]
    rows = [row for row in rows if "about" not in row]
    parts = list(dict.fromkeys(abouts))
    if rows:
        load, steal = max(row["load"] for row in rows), max(row["steal"] for row in rows)
        parts.append(f"During the runs: load average at most {load:.1f}, steal time at most {steal:.1%}.")
    for workload, algorithm in sorted({(row["workload"], row["algorithm"]) for row in rows}):
        those = [row for row in rows if (row["workload"], row["algorithm"]) == (workload, algorithm)]
        parts.append(f"### {workload} {algorithm.upper()}: {WHAT[workload]}")
        parts.append(idle(those) if workload == "W7" else busy(those))
    return "\n\n".join([*parts, "### Targets", aims(rows)])


def busy(rows: Rows) -> str:
    lines = [
        "| | CPU µs per request | spread | requests/s | p50 ms | p99 ms | peak MiB | wrong or failed | busy: proxy / generator / upstream | runs |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in by_peer(rows):
        cpu = [run["cpu_us"] for run in runs]
        wrong = sum(run["unexpected"] + run["failed"] for run in runs)
        load = " / ".join(f"{median(runs, part):.0%}" for part in ("proxy_busy", "load_busy", "app_busy"))
        p50, p99 = (median(runs, name) / 1000 for name in ("p50_us", "p99_us"))
        lines.append(
            f"| {name} | {statistics.median(cpu):.1f} | {min(cpu):.1f}–{max(cpu):.1f} | {median(runs, 'per_second'):,.0f} "
            f"| {p50:.2f} | {p99:.2f} | {median(runs, 'peak_mib'):.0f} | {wrong:.0f} | {load} | {len(runs)} |"
        )
    return "\n".join([*lines, *failures(rows)])


def idle(rows: Rows) -> str:
    lines = [
        "| | connections | KiB each | CPU µs each, with TLS handshake and one request | peak MiB | wrong or failed | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in by_peer(rows):
        wrong = sum(run["unexpected"] + run["failed"] for run in runs)
        lines.append(
            f"| {name} | {median(runs, 'connections'):,.0f} | {median(runs, 'kib_each'):.1f} | {median(runs, 'cpu_us'):.0f} "
            f"| {median(runs, 'peak_mib'):.0f} | {wrong:.0f} | {len(runs)} |"
        )
    return "\n".join([*lines, *failures(rows)])


def aims(rows: Rows) -> str:
    lines = ["| | hookgate | peer | | ratio | target | |", "|---|---|---|---|---|---|---|"]
    for aim in AIMS:
        those = [row for row in rows if (row["workload"], row["algorithm"]) == (aim.workload, aim.algorithm)]
        figures = {name: median(runs, aim.figure) for name, runs in by_peer(those)}
        ours, theirs = figures.get("hookgate"), figures.get(aim.peer, 0.0)
        if ours is None or (aim.peer and not theirs):
            continue
        ratio = ours / theirs if aim.peer else ours
        what = f"{aim.workload} {aim.algorithm.upper()}, {FIGURES[aim.figure]}"
        against = f"{aim.peer} | {theirs:.1f} | {ratio:.2f}" if aim.peer else "| |"
        lines.append(f"| {what} | {ours:.1f} | {against} | ≤ {aim.limit:g} | {'met' if ratio <= aim.limit else 'missed'} |")
    return "\n".join(lines)


def by_peer(rows: Rows) -> list[tuple[str, Rows]]:
    """Completed runs by peer, in the order in which they were measured."""
    names = dict.fromkeys(row["peer"] for row in rows if "failure" not in row)
    return [(name, [with_mib(row) for row in rows if row["peer"] == name and "failure" not in row]) for name in names]


def with_mib(row: dict) -> dict:
    return row | {"peak_mib": row["peak_kib"] / 1024}


def failures(rows: Rows) -> list[str]:
    return [f"\n{row['peer']}, run {row['run']}: {row['failure']}" for row in rows if "failure" in row]


def median(runs: Rows, figure: str) -> float:
    return statistics.median(run[figure] for run in runs)
