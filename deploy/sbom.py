#!/usr/bin/env python3
"""Prints the software bill of materials of the hookgate binary (CycloneDX 1.6, JSON): the crates that cargo links into it
for one target, with their licences and their hashes from Cargo.lock. The same sources give the same bytes.

    python3 deploy/sbom.py [TARGET]        (default x86_64-unknown-linux-gnu)
"""
import json
import os
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-gnu"
    metadata = cargo_metadata(target)
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {node["id"]: linked(node) for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found = reachable(root, edges)
    hashes = lock_hashes()
    components = [component(packages[one], hashes) for one in found if one != root]
    dependencies = [{"ref": reference(packages[one]), "dependsOn": sorted(reference(packages[to]) for to in edges[one])}
                    for one in found]
    print(json.dumps({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {**component(packages[root], hashes), "type": "application"},
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
    }, indent=1))


def cargo_metadata(target):
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def linked(node):
    """The dependencies that are not for tests alone. Those for build scripts can change the binary too."""
    return {edge["pkg"] for edge in node["deps"] if any(kind["kind"] != "dev" for kind in edge["dep_kinds"])}


def reachable(root, edges):
    found, waiting = [], [root]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            waiting.extend(edges[one])
    return found


def lock_hashes():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, hashes):
    made = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # Older crates separate alternatives by a slash, which SPDX does not know.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = hashes.get((package["name"], package["version"]))
    if package["source"] == REGISTRY:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


if __name__ == "__main__":
    main()
