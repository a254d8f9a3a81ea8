"""Audits every endpoint of the gallery at every depth, and compares the findings with those that gallery.yaml expects.

    target/venv/bin/python tests/e2e/audit/matrix.py --hookgate BINARY [--only NAME] [--rounds 10] [--markdown FILE]

A planted weakness that is not found, and a finding that was not planted, are failures. The audits run without the
header that marks their requests in every second round, so that no endpoint behaves for the auditor. Each report is
validated: its SARIF by the schema of OASIS, its JSON by `hookgate schema audit`.
"""
import argparse
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys

import jsonschema

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from gallery import ENVIRONMENT, PATH, Gallery  # noqa: E402

# Requests a second.
RATE = "200"


def schemas(hookgate):
    """Validators of the reports in SARIF and JSON."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", HERE / "sarif/Cargo.toml"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    manifest = next(package["manifest_path"] for package in packages if package["name"] == "serde-sarif")
    of_sarif = json.loads((pathlib.Path(manifest).parent / "src/schema.json").read_text())
    of_json = json.loads(subprocess.run([hookgate, "schema", "audit"], check=True, capture_output=True).stdout)
    return jsonschema.Draft7Validator(of_sarif), jsonschema.Draft202012Validator(of_json)


def invalid(validators, sarif, report, html):
    """Why a report is not valid."""
    of_sarif, of_json = validators
    errors = [f"SARIF: {error.json_path}: {error.message}" for error in of_sarif.iter_errors(sarif)]
    errors += [f"JSON: {error.json_path}: {error.message}" for error in of_json.iter_errors(report)]
    for text in [json.dumps(sarif), json.dumps(report), html]:
        errors += [f"a report shows {name}" for name, secret in ENVIRONMENT.items() if "SECRET" in name and secret in text]
    shown = [evidence["response"] for finding in report["findings"] for evidence in finding["evidence"]]
    errors += [f"a report shows a signature: {response}" for response in shown if re.search("[0-9a-f]{64}", response)]
    return "; ".join(errors + ["HTML: a script"] * ("<script" in html.lower()))


def audit(hookgate, validators, gallery, endpoint, depth, marked):
    files = {name: gallery.folder / f"{endpoint['name']}-{depth}.{name}" for name in ["sarif", "html"]}
    outputs = [part for name, file in files.items() for part in [f"--{name}", file]]
    command = [hookgate, "audit", gallery.url(endpoint), *gallery.arguments(endpoint, depth), "--rate", RATE,
               "--format", "json", *outputs, *([] if marked else ["--no-marker"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=gallery.folder,
                          env={"PATH": PATH, **ENVIRONMENT})
    if done.returncode not in (0, 2):
        return None, f"exit {done.returncode}: {done.stderr.strip()[-400:]}"
    report = json.loads(done.stdout)
    errors = invalid(validators, json.loads(files["sarif"].read_text()), report, files["html"].read_text())
    if errors:
        return None, errors
    return {finding["rule"]: finding for finding in report["findings"]}, None


def compare(gallery, endpoint, depth, found, failure):
    if failure:
        return [failure]
    must, may = gallery.expected(endpoint, depth)
    evidence = lambda rule: found[rule]["evidence"][0] if found[rule]["evidence"] else {}
    missed = [f"missed: {rule}" for rule in sorted(must - found.keys())]
    return missed + [f"false: {rule} {evidence(rule).get('probe')} -> {evidence(rule).get('response')}"
                     for rule in sorted(found.keys() - may)]


def table(gallery, results):
    """The matrix as a table in Markdown: a row an endpoint, with the findings of its deepest audit."""
    rows = ["| endpoint | depth | found |", "|---|---|---|"]
    for endpoint in gallery.endpoints:
        depth = gallery.depths(endpoint)[-1]
        found = results.get((endpoint["name"], depth)) or {}
        rows.append(f"| {endpoint['name']} | {depth} | {', '.join(sorted(found)) or 'none'} |")
    return "\n".join(rows) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True)
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--markdown")
    arguments = parser.parse_args()
    hookgate = str(pathlib.Path(arguments.hookgate).resolve())
    validators = schemas(hookgate)
    failed, audits, results = 0, 0, {}
    for round_ in range(arguments.rounds):
        # A new gallery: limits and seen ids of the last round are gone.
        with Gallery(hookgate) as gallery:
            for name, need in gallery.missing.items():
                print(f"left out: {name}, since {need} is not installed", file=sys.stderr)
            for depth in ("blind", "captured", "key"):
                chosen = [endpoint for endpoint in gallery.endpoints
                          if depth in gallery.depths(endpoint) and arguments.only in (None, endpoint["name"])]
                run = lambda endpoint: audit(hookgate, validators, gallery, endpoint, depth, round_ % 2 == 0)
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    for endpoint, (found, failure) in zip(chosen, pool.map(run, chosen)):
                        audits += 1
                        results[endpoint["name"], depth] = found
                        problems = compare(gallery, endpoint, depth, found, failure)
                        failed += bool(problems)
                        for problem in problems:
                            print(f"{endpoint['name']:<32} {depth:<9} {problem}", flush=True)
            if arguments.markdown:
                pathlib.Path(arguments.markdown).write_text(table(gallery, results))
    print(f"{audits} audits, {failed} not as expected")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
