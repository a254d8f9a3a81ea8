"""Runs the commands of docs/tutorials/audit.md in their order, and compares their outputs with those on the page.

    target/venv/bin/python tests/e2e/audit/tutorial.py --hookgate target/debug/hookgate

HOOKGATE_WRITE=1 writes the outputs into the page. The application and the gateway listen on free ports.
"""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import free_ports, until  # noqa: E402

PAGE = HERE.parents[2] / "docs/tutorials/audit.md"
BLOCK = re.compile(r"```(python|yaml|sh|text)\n(.*?)```\n", re.S)
FILES = {"python": "app.py", "yaml": "gateway.yaml"}


class Tutorial:
    def __init__(self, hookgate, folder):
        self.folder, (self.app_port, self.port), self.processes = pathlib.Path(folder), free_ports(2), []
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), str(hookgate.parent), os.environ["PATH"]])
        self.environment = {"PATH": path, "HOME": folder, "LC_ALL": "C.UTF-8"}

    def moved(self, text):
        return text.replace("8000", str(self.app_port)).replace("8443", str(self.port))

    def start(self, *command, port):
        log = open(self.folder / "log", "ab")
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.processes.append(process)

        def listens():
            assert process.poll() is None, (self.folder / "log").read_text()
            done = subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True)
            return done.returncode == 0

        until(f"{command[0]} listens", listens)

    def step(self, kind, text):
        """Writes a file, or runs a command and returns its standard output."""
        if kind in FILES:
            (self.folder / FILES[kind]).write_text(self.moved(text))
            if kind == "python":
                arguments = ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(self.app_port)]
                self.start(sys.executable, *arguments, port=self.app_port)
            return None
        done = subprocess.run(["bash", "-c", self.moved(text)], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=300)
        # 2: findings.
        assert done.returncode in {0, 2}, f"{text}: {done.returncode}: {done.stderr}"
        if "hookgate check" in text:
            self.start("hookgate", "run", port=self.port)
        shown = done.stdout.replace(str(self.app_port), "8000").replace(str(self.port), "8443").strip("\n")
        # The id of a rejected request.
        return re.sub(r'"instance":"[0-9a-f]{32}"', '"instance":"…"', shown) + "\n"


def run(tutorial, page):
    """The page with the outputs of its commands."""
    pieces, end, output = [], 0, ""
    for block in BLOCK.finditer(page):
        kind, text = block.groups()
        if kind == "text":
            pieces += [page[end:block.start()], f"```text\n{output}```\n"]
            end = block.end()
        else:
            output = tutorial.step(kind, text) or output
    return "".join([*pieces, page[end:]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, type=lambda path: pathlib.Path(path).resolve())
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        tutorial = Tutorial(parser.parse_args().hookgate, folder)
        try:
            new = run(tutorial, page)
        finally:
            for process in tutorial.processes:
                process.kill()
                process.wait()
    if os.environ.get("HOOKGATE_WRITE"):
        PAGE.write_text(new)
        return 0
    print("\n".join(difflib.unified_diff(page.splitlines(), new.splitlines(), "docs/tutorials/audit.md", "this run", lineterm="")))
    print("the outputs are those of the page" if new == page else "the outputs differ: HOOKGATE_WRITE=1 writes them")
    return int(new != page)


if __name__ == "__main__":
    sys.exit(main())
