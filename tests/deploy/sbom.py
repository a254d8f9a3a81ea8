"""Checks a bill of materials: that it is valid, and that it has the crates of the binary and no others.

    python tests/deploy/sbom.py SBOM.json
"""
import json
import pathlib
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Linked into the binary; used by tests alone; used on other systems alone.
LINKED, OF_TESTS, ELSEWHERE = {"hyper", "rustls", "aws-lc-sys", "serde_yaml"}, {"trycmd", "insta", "proptest"}, {"windows-sys"}


def main(path):
    text = pathlib.Path(path).read_text()
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem
    bom = json.loads(text)
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    about = bom["metadata"]["component"]
    assert (about["name"], about["version"]) == (manifest["name"], manifest["version"]), about
    names = {one["name"] for one in bom["components"]}
    assert LINKED <= names and not (OF_TESTS | ELSEWHERE) & names, names
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    locked = {(one["name"], one["version"], one.get("checksum")) for one in lock}
    found = {(one["name"], one["version"], one["hashes"][0]["content"]) for one in bom["components"]}
    assert found <= locked, found - locked
    references = {one["bom-ref"] for one in bom["components"]} | {about["bom-ref"]}
    assert {one["ref"] for one in bom["dependencies"]} == references
    assert all(to in references for one in bom["dependencies"] for to in one["dependsOn"])


if __name__ == "__main__":
    main(sys.argv[1])
