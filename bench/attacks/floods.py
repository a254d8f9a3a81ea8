#!/usr/bin/env python3
"""The cost of many hostile clients for the gateway, and their effect on genuine senders. See README.md.

Each attack runs against a fresh gateway, with the default limits except where a row sets others, while genuine senders
at other addresses send signed bodies. The attackers run at a lower priority: real ones would run on other machines. At
the end of an attack they stop, but keep their connections open until the senders are served again.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
from dataclasses import dataclass, replace

import clients as c
from addresses import network
from senders import FORK, Period, Senders, served_again
from log import SlowReader
from rows import BASELINE, FEW, MANY, Attack
from target import KeyServer, Site, configuration, prepare
from world import Gateway, free_port, nginx

WARM_UP, RECOVERY, QUICK_RECOVERY = 1.5, 35.0, 6.0


@dataclass
class World:
    """Shared by all rows."""

    folder: pathlib.Path
    app: int
    issuer: object
    tokens: list[str]
    recovery: float
    save: pathlib.Path | None


# --- the attackers ----------------------------------------------------------------------------------------------------


class Attackers:
    """The processes of an attack; after its end they keep their connections open until `leave`."""

    def __init__(self, attack: Attack, site: Site):
        self.end, self.released, self.pipes, self.processes = c.now() + attack.seconds, FORK.Event(), [], []
        for index in range(attack.processes):
            ours, theirs = FORK.Pipe(duplex=False)
            process = FORK.Process(target=self.run, args=(attack, site, index, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def run(self, attack: Attack, site: Site, index: int, results) -> None:
        give_way()
        results.send(attack.run(site, index, self.end))
        self.released.wait(2 * RECOVERY)
        os._exit(0)

    def counts(self) -> c.Counts:
        return sum((pipe.recv() for pipe in self.pipes), c.Counts())

    def leave(self) -> None:
        self.released.set()
        for process in self.processes:
            process.join()


def give_way() -> None:
    """Lowers the priority of this process, and that of its session, which is what Linux may schedule (autogroup)."""
    os.nice(10)
    with contextlib.suppress(OSError):
        session = pathlib.Path("/proc/self/autogroup")
        now = int(session.read_text().split()[-1])
        os.setsid()
        session.write_text(str(min(19, now + 10)))


def open_connections(gateway: Gateway, senders: Senders) -> str:
    """Those of the attackers; the admin listener may be what they attack."""
    try:
        found = sum(value for name, value in gateway.metrics(2).items() if name.startswith("hookgate_open_connections{"))
    except OSError:
        return "no metrics"
    return f"{max(0, int(found) - senders.open.value):,} open at the end"


# --- a row ------------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    attack: Attack
    counts: c.Counts
    became: str
    cpu: float
    before: float
    peak: float
    bound: float
    period: Period
    again: float | None
    alive: bool
    # Lines of the log for genuine requests, where it was read: those written, and the requests.
    lines: tuple[int, int] = (0, 0)

    def failed(self) -> bool:
        served = not self.period.unserved and self.again is not None and self.alive
        return not served or self.lines[0] < self.lines[1] or self.peak > self.bound

    def cells(self) -> list[str]:
        tried = self.counts.pop("tried", 0)
        results = ", ".join(f"{number:,} {what}" for what, number in self.counts.most_common() if number)
        middle, slow = (self.period.percentile(at) for at in (50, 99))
        latency = "–" if middle is None else f"{middle:.1f} / {slow:.0f} ms"
        again = "no" if self.again is None else f"{self.again:.1f} s"
        tried = f"{tried:,} {self.attack.unit}" if self.attack.unit else "–"
        return [tried, "; ".join(filter(None, [results, self.became])) or "–", f"{self.cpu:.0%}",
                self.memory(), latency, self.served() if self.alive else "GATEWAY DIED", again]

    def memory(self) -> str:
        over = f", over the bound of {self.bound}" if self.peak > self.bound else ""
        return f"{self.peak:.0f} MiB, {self.peak - self.before:.0f} added{over}"

    def served(self) -> str:
        total, unserved = len(self.period.rows), self.period.unserved
        if not unserved:
            return f"all {total}"
        why = c.Counts(row.status for row in unserved)
        return f"{total - len(unserved)} of {total}: " + ", ".join(f"{number} {what}" for what, number in why.most_common())


COLUMNS = ["attempts", "result", "CPU of the gateway", "peak memory", "genuine requests p50 / p99", "served", "served again after"]


def measure(attack: Attack, hookgate: str, world: World) -> Result:
    site, keys = Site(free_port(), free_port(), world.tokens, attack.place), KeyServer(world.issuer)
    text = configuration(site, attack, world.app, keys.port)
    log = SlowReader() if attack.log else None
    with Gateway(hookgate, world.folder, text, site.admin, log and log.theirs) as gateway:
        senders = Senders(site.port, site.admin, world.tokens)
        time.sleep(WARM_UP)
        gateway.forget_peak()
        before, cpu, fetched, begun = gateway.memory("VmRSS"), gateway.cpu_seconds(), keys.fetches.value, c.now()
        attackers = Attackers(attack, site)
        time.sleep(max(0, attackers.end - 0.5 - c.now()))
        became = [open_connections(gateway, senders)] if attack.unit else []
        counts, ended = attackers.counts(), c.now()
        cpu = (gateway.cpu_seconds() - cpu) / (ended - begun)
        again = recovered(senders, attackers.end, world.recovery)
        attackers.leave()
        senders.finish()
        if log:
            log.catch_up()
            dropped = sum(value for name, value in gateway.metrics().items() if name.startswith("hookgate_log_lines_dropped_total"))
            became += [f"{int(dropped):,} lines dropped"]
        peak, alive = gateway.memory("VmHWM"), gateway.process.poll() is None
        gateway.stop()
    if attack.run is c.unknown_kids:
        became.append(f"{keys.fetches.value - fetched} fetches, {keys.bytes.value >> 10:,} KiB")
    keys.process.kill()
    rows, lines = sorted(senders.rows.values(), key=lambda row: row.due), (0, 0)
    if log:
        log.finish()
        lines = log.lines, sum(row.signed and row.served for row in rows)
        became.append("lines of {:,} of {:,} genuine requests written".format(*lines))
    save(world.save, attack, hookgate, rows, begun)
    return Result(attack, counts, "; ".join(became), cpu, before, peak, gateway.bound, Period(rows, begun, attackers.end), again, alive, lines)


def save(path: pathlib.Path | None, attack: Attack, hookgate: str, rows: list, begun: float) -> None:
    """Adds the genuine requests of a row to a file, for plot.py."""
    if path:
        requests = [(round(row.due - begun, 3), row.taken and round(row.taken, 4), row.status, row.lane) for row in rows]
        row = {"attack": attack.name, "seconds": attack.seconds, "gateway": pathlib.Path(hookgate).name, "requests": requests}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def recovered(senders: Senders, ended: float, patience: float) -> float | None:
    while (again := served_again(list(senders.rows.values()), ended)) is None and c.now() < ended + patience:
        time.sleep(0.1)
    return again


# --- the table --------------------------------------------------------------------------------------------------------


def chosen(args) -> list[Attack]:
    attacks = {"few": FEW, "many": MANY, "all": FEW + MANY}[args.of]
    if args.quick:
        attacks = [replace(attack, seconds=3) for attack in attacks if attack.quick]
    found = [attack for attack in attacks if not args.names or any(name.lower() in attack.name.lower() for name in args.names)]
    return [replace(BASELINE, seconds=3) if args.quick else BASELINE, *found]


def table(args, world: World) -> dict[str, list[str]]:
    """Prints a row for each attack and gateway; returns the attacks with unserved requests of each gateway."""
    several, failed, attacks = len(args.hookgate) > 1, {path: [] for path in args.hookgate}, chosen(args)
    head = ["attack", *(["gateway"] if several else []), *COLUMNS]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for number, attack in enumerate(attacks, 1):
        for path in args.hookgate:
            print(f"[{number}/{len(attacks)}] {attack.name}, {path}", file=sys.stderr, flush=True)
            result = measure(attack, path, world)
            if result.failed():
                failed[path].append(attack.name)
                unserved = c.Counts(f"{row.lane}: {row.status}" for row in result.period.unserved)
                print("\n".join(f"  {number} {what}" for what, number in unserved.most_common(6)), file=sys.stderr)
            print("| " + " | ".join([attack.name, *([pathlib.Path(path).name] if several else []), *result.cells()]) + " |", flush=True)
    print()
    for path, names in failed.items():
        print(f"{path}: every genuine request was served in {len(attacks) - len(names)} of {len(attacks)} rows")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only attacks with one of these words in their names")
    parser.add_argument("--hookgate", action="append", help="a gateway; with several, each attack is sent to all of them")
    parser.add_argument("--of", choices=["few", "many", "all"], default="all", help="attacks from a few addresses, or from 64")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter attacks, in less than two minutes")
    parser.add_argument("--save", type=pathlib.Path, help="a file to which the genuine requests of each row are added, for plot.py")
    args = parser.parse_args()
    args.hookgate = args.hookgate or ["target/release/hookgate"]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(network())
        issuer = prepare(folder)
        app = stack.enter_context(nginx(folder))
        tokens = [issuer.token(number) for number in range(2000)]
        failed = table(args, World(folder, app, issuer, tokens, QUICK_RECOVERY if args.quick else RECOVERY, args.save))
    sys.exit(any(failed[args.hookgate[-1]]))


if __name__ == "__main__":
    main()
