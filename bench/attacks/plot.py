#!/usr/bin/env python3
"""Draws the latency of the genuine requests over time, a panel for each row that floods.py has saved. See README.md.

    plot.py rows.jsonl "no attack" "without a body: 64" > docs/attacks.svg
"""

import argparse
import html
import json
import math
import pathlib

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 150, 64, 16, 26, 24
LOW, HIGH = 1, 10_000  # milliseconds
SERVED, UNSERVED, DURING, GRID = "#2b6cb0", "#c53030", "#f2f2f2", "#cccccc"


def text(x: float, y: float, content: str, anchor="start", colour="#333333") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{html.escape(content)}</text>'


def panel(row: dict, top: float, seconds: float, several: bool) -> list[str]:
    """Dots for the requests that were served, and bars above for those that were not; the attack's time is grey."""
    across = lambda at: LEFT + (WIDTH - LEFT - RIGHT) * (at + 1) / (seconds + 1)
    inner = HEIGHT - TOP - BOTTOM
    down = lambda ms: top + TOP + inner * (1 - math.log(min(max(ms, LOW), HIGH) / LOW) / math.log(HIGH / LOW))
    shown = [one for one in row["requests"] if -1 <= one[0] <= seconds and one[1] is not None]
    served = [one for one in shown if one[2] == "200"]
    title = f"{row['attack']} ({row['gateway']})" if several else row["attack"]
    out = [text(LEFT, top + 14, f"{title}: {len(served)} of {len(shown)} served")]
    if row["attack"] != "no attack":
        out.append(f'<path d="M{across(0):.0f} {top + TOP:.0f}H{across(row["seconds"]):.0f}v{inner}H{across(0):.0f}z" fill="{DURING}"/>')
    for ms in (1, 10, 100, 1000, 10_000):
        out.append(f'<path d="M{LEFT} {down(ms):.1f}H{WIDTH - RIGHT}" stroke="{GRID}" stroke-width="0.5"/>')
        out.append(text(LEFT - 6, down(ms) + 4, f"{ms:,} ms" if ms < 1000 else f"{ms // 1000} s", "end"))
    for second in range(0, int(seconds) + 1, 5):
        out.append(text(across(second), top + HEIGHT - 8, f"{second} s", "middle"))
    dots = "".join(f"M{across(due):.1f} {down(taken * 1000):.1f}h0" for due, taken, *_ in served)
    out.append(f'<path d="{dots}" stroke="{SERVED}" stroke-width="3" stroke-linecap="round"/>')
    missed = "".join(f"M{across(due):.1f} {top + TOP - 5:.0f}v8" for due, _, status, _ in shown if status != "200")
    return [*out, f'<path d="{missed}" stroke="{UNSERVED}" stroke-width="1.5"/>'] if missed else out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=pathlib.Path, help="the file that floods.py --save has written")
    parser.add_argument("names", nargs="+", help="rows with one of these words in their names, in this order")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    rows = [row for name in args.names for row in rows if name.lower() in row["attack"].lower()]
    seconds = max(row["seconds"] for row in rows) + 5
    several = len({row["gateway"] for row in rows}) > 1
    height = HEIGHT * len(rows)
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">')
    print(f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>')
    for number, row in enumerate(rows):
        print("\n".join(panel(row, number * HEIGHT, seconds, several)))
    print("</svg>")


if __name__ == "__main__":
    main()
