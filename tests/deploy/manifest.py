"""Checks deploy/kubernetes/sidecar.yaml for tests/deploy.sh, with rules that a schema cannot express.

    manifest.py check FILE     every rule below; prints the number of documents, exits 1 with each broken rule
    manifest.py gateway FILE   prints the gateway.yaml in the ConfigMap
"""

import sys

import yaml

SECONDS = {"s": 1, "m": 60, "h": 3600}


class StrictLoader(yaml.SafeLoader):
    """Rejects duplicate keys, of which PyYAML would use the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def read(path):
    """All documents of a file, except those with comments only."""
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.load_all(file, Loader=StrictLoader) if document]


def one(documents, kind):
    """The only document of its kind."""
    found = [document for document in documents if document["kind"] == kind]
    if len(found) != 1:
        sys.exit(f"expected one {kind}, got {len(found)}")
    return found[0]


def gateway_text(documents):
    """The ConfigMap's gateway.yaml."""
    return one(documents, "ConfigMap")["data"]["gateway.yaml"]


def seconds(text):
    """`30s` or `5m` as seconds."""
    return int(text[:-1]) * SECONDS[text[-1]]


def broken_rules(documents):
    """A sentence for each broken rule."""
    pod = one(documents, "Deployment")["spec"]["template"]["spec"]
    gateway = yaml.load(gateway_text(documents), Loader=StrictLoader)
    containers = {container["name"]: container for container in pod["containers"]}
    drain = seconds(gateway["drain"]["delay"]) + seconds(gateway["drain"]["timeout"])
    held_back = containers["app"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    names = {port["name"]: port["containerPort"] for port in containers["hookgate"]["ports"]}
    ports = {"https": gateway["listeners"][0]["address"], "hookgate-admin": gateway["admin"]["address"]}

    if held_back <= drain:
        yield f"the upstream's preStop ({held_back} s) ends before the drain ({drain} s)"
    if pod["terminationGracePeriodSeconds"] <= held_back:
        yield "terminationGracePeriodSeconds leaves the upstream no time after its preStop"
    if "127.0.0.1" not in containers["app"]["args"] or "ports" in containers["app"]:
        yield "the upstream is not bound to loopback alone"
    for route in gateway["routes"]:
        if not route["upstream"]["url"].startswith("http://127.0.0.1:"):
            yield f"route {route['name']} does not forward to loopback"
    for name, address in ports.items():
        if not address.endswith(f":{names[name]}"):
            yield f"port {name} is {names[name]}, but gateway.yaml listens on {address}"
    if [port["targetPort"] for port in one(documents, "Service")["spec"]["ports"]] != ["https"]:
        yield "the Service has another port than the gateway's"
    for document in documents:
        if document["kind"] == "Secret":
            yield "the manifest contains a Secret"
    for container in containers.values():
        yield from broken_container_rules(container)


def broken_container_rules(container):
    """A sentence for each broken rule of one container."""
    context = container["securityContext"]
    wanted = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if context != wanted:
        yield f"{container['name']}: securityContext is not the restricted one"
    for mount in container["volumeMounts"]:
        if "subPath" in mount or "subPathExpr" in mount:
            yield f"{container['name']}: {mount['mountPath']} is a subPath, which never changes"


def main():
    """Runs the command."""
    command, path = sys.argv[1:]
    documents = read(path)
    if command == "gateway":
        print(gateway_text(documents), end="")
        return
    broken = list(broken_rules(documents))
    if broken:
        sys.exit("\n".join(f"{path}: {rule}" for rule in broken))
    print(len(documents))


if __name__ == "__main__":
    main()
