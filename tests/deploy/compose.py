"""Checks that each compose.yaml of examples/ agrees with its gateway.yaml and its Dockerfile. Arguments: the folders."""
import pathlib
import re
import sys

import yaml

DRAIN = 35  # seconds: `delay` and `timeout` by default

def problems(folder):
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    gateway = yaml.safe_load((folder / "gateway.yaml").read_text())
    dockerfile = (folder / "Dockerfile").read_text()
    services = compose["services"]
    [port] = [listener["address"].rsplit(":", 1)[1] for listener in gateway["listeners"]]
    [upstream] = {route["upstream"]["url"] for route in gateway["routes"]}
    host, upstream_port = re.fullmatch(r"http://(.+):(\d+)", upstream).groups()
    admin_host, admin_port = gateway["admin"]["address"].rsplit(":", 1)
    published = [mapping for service in services.values() for mapping in service.get("ports", [])]
    checks = {
        "the port of the listener alone is published": published == services["hookgate"]["ports"] == [f"{port}:{port}"],
        "the upstream is a service": host in services,
        "the application listens on the upstream's port": "0.0.0.0" in dockerfile and upstream_port in dockerfile,
        "the application is in an internal network alone":
            [compose["networks"][name] for name in services[host]["networks"]] == [{"internal": True}],
        "hookgate is in the application's network": set(services[host]["networks"]) < set(services["hookgate"]["networks"]),
        "the health check asks the admin port":
            services["health"]["healthcheck"]["test"][-1] == f"http://hookgate:{admin_port}/readyz" and admin_host == "0.0.0.0",
        "the admin listener answers its host name": "hookgate" in gateway["admin"]["hosts"],
        "hookgate gets the time to drain": int(services["hookgate"]["stop_grace_period"].removesuffix("s")) > DRAIN,
    }
    return [name for name, holds in checks.items() if not holds]


def main():
    folders = [folder for folder in map(pathlib.Path, sys.argv[1:]) if folder.is_dir()]
    failed = {folder: problems(folder) for folder in folders}
    for folder, names in failed.items():
        for name in names:
            print(f"{folder}: not so: {name}")
    return 1 if not failed or any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
