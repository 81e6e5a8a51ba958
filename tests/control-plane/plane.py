"""A Kubernetes control plane of real programs on this machine, nodes that kwok plays, and what asks its API."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "helm", "openssl"]
TOKEN = "only-for-this-test"


def missing():
    """Returns the programs that cannot be found."""
    return [program for program in PROGRAMS if not shutil.which(program)]


def wait(what, check, seconds=60):
    """Waits until `check` returns something true, and returns it. Else fails with `what`, a text or what returns one."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not within {seconds} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.1)
    return found


class Refused(Exception):
    """The API server refused a request."""

    def __init__(self, method, path, status, body):
        super().__init__(f"{method} {path}: {status} {body}")
        self.status = status


class Plane:
    """A running control plane; it ends with its `with` block."""

    def __enter__(self):
        self.programs, self.folder = [], pathlib.Path(tempfile.mkdtemp(prefix="control-plane-"))
        try:
            self._start()
        except BaseException:
            self.__exit__(*[None] * 3)
            raise
        return self

    def __exit__(self, *_):
        # The last one started depends on the others.
        for program in reversed(self.programs):
            program.terminate()
        for program in self.programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(5)
            program.kill()
            program.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command):
        log = (self.folder / f"{command[0]}.log").open("wb")
        self.programs.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def _start(self):
        etcd, peers, port, nodes = (str(free_port()) for _ in range(4))
        certificates, key = self.folder / "certificates", self.folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f"{TOKEN},admin,1,system:masters\n")
        self.server = f"https://127.0.0.1:{port}"
        cluster = {"server": self.server, "insecure-skip-tls-verify": True}
        self.config = self.folder / "kubeconfig"
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        }))
        self._run("etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls=http://127.0.0.1:{etcd}",
                  f"--advertise-client-urls=http://127.0.0.1:{etcd}", f"--listen-peer-urls=http://127.0.0.1:{peers}",
                  f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}", f"--initial-cluster=default=http://127.0.0.1:{peers}")
        self._run("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={port}", "--bind-address=127.0.0.1",
                  f"--cert-dir={certificates}", f"--token-auth-file={self.folder}/tokens", "--authorization-mode=RBAC",
                  "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", f"--service-account-key-file={key}",
                  f"--service-account-signing-key-file={key}", "--service-account-issuer=https://here",
                  # Needs an etcd of 3.4.25, which is newer than Debian's.
                  "--feature-gates=WatchList=false")
        self._wait("the API server is ready", lambda: self.get("/readyz", text=True) == "ok", 120)
        self._run("kube-controller-manager", f"--kubeconfig={self.config}", "--leader-elect=false", "--secure-port=0",
                  f"--service-account-private-key-file={key}", f"--root-ca-file={certificates}/apiserver.crt",
                  "--horizontal-pod-autoscaler-sync-period=1s")
        self._run("kube-scheduler", f"--kubeconfig={self.config}", "--leader-elect=false", "--secure-port=0")
        self._run("kwok", f"--kubeconfig={self.config}", "--manage-all-nodes=true", "--node-lease-duration-seconds=40",
                  "--node-ip=127.0.0.1", f"--node-port={nodes}", f"--server-address=127.0.0.1:{nodes}",
                  f"--tls-cert-file={certificates}/apiserver.crt", f"--tls-private-key-file={certificates}/apiserver.key",
                  f"--config={HERE}/stages.yaml")

    def _wait(self, what, check, seconds):
        def tried():
            for program in self.programs:
                assert program.poll() is None, f"{program.args[0]} ended: {self.log(program.args[0])}"
            with contextlib.suppress(OSError, Refused):
                return check()
        wait(what, tried, seconds)

    def log(self, program, characters=4000):
        return (self.folder / f"{program}.log").read_text(errors="replace")[-characters:]

    def call(self, method, path, body=None, kind="application/json", text=False, token=TOKEN):
        """Sends a request, as an administrator or with another token. A body that is no text is sent as JSON."""
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(self.server + path, data and data.encode(), method=method, headers={
            "Authorization": f"Bearer {token}", "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60, context=UNVERIFIED) as answer:
                read = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refused(method, path, error.code, error.read().decode()[:1000]) from error
        return read if text else json.loads(read)

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def find(self, path):
        """Returns an object, or None where there is none."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def kinds(self):
        """Returns the path of the group and the name of each kind that a namespace can hold and that can be listed."""
        groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in self.get("/apis")["groups"]]
        return [(group, kind["name"]) for group in ["/api/v1", *groups] for kind in self.get(group)["resources"]
                if kind["namespaced"] and "list" in kind["verbs"]]

    def watch(self, path, seen):
        """Calls `seen` with each change of the objects in a list, in a thread, until the program ends."""
        def follow():
            request = urllib.request.Request(f"{self.server}{path}?watch=1", headers={"Authorization": f"Bearer {TOKEN}"})
            with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(request, context=UNVERIFIED) as lines:
                for line in lines:
                    event = json.loads(line)
                    seen(event["type"], event["object"])
        threading.Thread(target=follow, daemon=True).start()

    def helm(self, *command, values=None):
        """Runs helm, with values over those of the command. Returns whether it was content, and what it said."""
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=self.folder) as file:
            json.dump(values or {}, file)
            file.flush()
            takes = ["--values", file.name] if values else []
            surroundings = {**os.environ, "KUBECONFIG": str(self.config), "HELM_PLUGINS": str(self.folder), "HELM_DEBUG": ""}
            done = subprocess.run(["helm", *command, *takes], env=surroundings, capture_output=True, text=True, timeout=300)
        return done.returncode == 0, done.stdout + done.stderr


UNVERIFIED = ssl._create_unverified_context()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
