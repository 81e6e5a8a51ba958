"""Installs each scenario of the chart on a control plane, changes it, and removes it.

Usage: run.py [SCENARIO…]

Real are helm, the API server with its admission (restricted pod security, a quota), the controllers and the scheduler. Played are
the kubelets, by kwok with stages.yaml, and in cluster.py cert-manager, KEDA's operator and a cloud's load balancers. No container
runs: probes, what `check` finds and the health call of `helm test` are what tests/it/chart tries with the real binary.
"""

import concurrent.futures
import json
import math
import os
import pathlib
import sys
import threading
import time
import traceback

import cluster
from plane import HERE, Plane, Refused, missing, wait

CHART = HERE.parents[1] / "helm"
LEAST = CHART / "ci/api-token-values.yaml"
# Saves waiting only.
QUICK = {"minReadySeconds": 1}
FAILS = {"test": {"annotations": {"control-plane-test/fails": "yes"}}}
# What autoscalers say for want of metrics, the scheduler while pods that leave are in the way, a check that was made to fail, and
# the API server where it looks after a Service's address or port (it chose both) before it sees that it has taken it.
EXPECTED = {"FailedGetResourceMetric", "FailedGetPodsMetric", "FailedGetExternalMetric", "FailedComputeMetricsReplicas",
            "FailedScheduling", "BackoffLimitExceeded", "ClusterIPNotAllocated", "PortNotAllocated"}


def scenarios():
    found = {file.name.removesuffix("-values.yaml"): [file] for file in sorted((CHART / "ci").iterdir())}
    found["values-ha"] = [CHART / "values-ha.yaml", LEAST]
    return found


def joined(base, over):
    """Returns values with others over them."""
    both = [key for key in base.keys() & over.keys() if isinstance(base[key], dict) and isinstance(over[key], dict)]
    return {**base, **over, **{key: joined(base[key], over[key]) for key in both}}


def deadline(text):
    """Settings that differ from the scenario's, and from one another."""
    return {"config": {"server": {"unary_deadline": text}}}


class Release:
    """A scenario in a namespace of its own."""

    def __init__(self, plane, name, files, space="try"):
        self.plane, self.files, self.space = plane, files, f"{space}-{name}"
        # The fewest pods that were available at any change of the Deployment since helm or a drain began.
        self.fewest, self.problems = math.inf, []

    def path(self, kind, name=""):
        group, _, kind = kind.rpartition("/")
        return f"/{f'apis/{group}' if group else 'api/v1'}/namespaces/{self.space}/{kind}/{name}".rstrip("/")

    def list(self, kind):
        return self.plane.get(self.path(kind))["items"]

    def deployment(self):
        [only] = self.list("apps/v1/deployments")
        return only

    def template(self):
        return self.deployment()["spec"]["template"]

    def settings(self):
        return self.template()["metadata"]["annotations"]["zendesk-gateway/config"]

    def patch(self, suffix, body, kind="merge-patch"):
        path = self.path("apps/v1/deployments", self.deployment()["metadata"]["name"])
        self.plane.call("PATCH", path + suffix, body, f"application/{kind}+json")

    def scale(self, pods):
        """As `kubectl scale` and autoscalers do."""
        self.patch("/scale", {"spec": {"replicas": pods}})

    def helm(self, command, *more, values=None, fails=False):
        """Runs helm; for the commands that take values, with these over the scenario's. Returns what it said."""
        said = [command, "shop", "--namespace", self.space]
        if command in ("install", "upgrade"):
            values = joined(QUICK, values or {})
            said += [str(CHART), *(f"--values={file}" for file in self.files)]
        if command != "test":
            said.append("--wait")
        self.fewest = math.inf
        succeeds, told = self.plane.helm(*said, "--timeout=90s", *more, values=values)
        assert succeeds != fails, f"helm {command} {' '.join(more)} {values or ''}: {told}"
        # The API server's warnings are among what helm says.
        assert fails or "warn" not in told.lower(), told
        return told

    def upgrade(self, values, pods, *more):
        """An upgrade during which there are always as many pods as before, or as wanted after it."""
        least = min(pods, self.deployment()["spec"]["replicas"])
        self.helm("upgrade", *more, values=values)
        self.settled(pods)
        assert self.fewest >= least, f"{values}: {self.fewest} pods were available where {least} must be"

    def settled(self, pods):
        """So many pods are available, Services lead to them, the budget counts them, and there was nothing to complain about."""
        def rolled_out():
            it = self.deployment()
            state = it["status"]
            counts = [state.get(kind, 0) for kind in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
            known = state.get("observedGeneration") == it["metadata"]["generation"]
            return known and counts + [it["spec"]["replicas"]] == [pods] * 5
        wait(lambda: f"{pods} pods are available: {self.deployment()['status']}", rolled_out)
        for service in self.list("services"):
            name = service["metadata"]["name"]
            wait(lambda: f"{name} leads to {pods} pods: {self.reached(name)}", lambda: len(self.reached(name)) == pods)

        def counted():
            states = [it["status"] for it in self.list("policy/v1/poddisruptionbudgets")]
            return all(it["expectedPods"] == pods and (it["disruptionsAllowed"] or pods < 2) for it in states)
        wait("the budget counts all pods, and lets one go", counted)
        for event in self.list("events"):
            assert event["type"] == "Normal" or event["reason"] in EXPECTED, f"{event['reason']}: {event['message']}"
        assert not self.problems, self.problems

    def reached(self, service):
        slices = [it for it in self.list("discovery.k8s.io/v1/endpointslices")
                  if it["metadata"]["labels"]["kubernetes.io/service-name"] == service]
        return {point["targetRef"]["name"] for it in slices for point in it["endpoints"] or [] if point["conditions"]["ready"]}

    def look_at(self, pod):
        """What a pod names is there, or comes soon: a kubelet would wait for it."""
        spec = pod["spec"]
        needs = {("secrets", it["name"]) for it in spec.get("imagePullSecrets", [])}
        for volume in spec.get("volumes", []):
            needs |= {("secrets", volume["secret"]["secretName"])} if "secret" in volume else set()
            needs |= {("configmaps", volume["configMap"]["name"])} if "configMap" in volume else set()
        for container in spec["containers"] + spec.get("initContainers", []):
            for source in container.get("envFrom", []):
                needs |= {("configmaps", source["configMapRef"]["name"])} if "configMapRef" in source else set()
                needs |= {("secrets", source["secretRef"]["name"])} if "secretRef" in source else set()
        for kind, name in needs:
            try:
                wait(f"{pod['metadata']['name']} has {kind}/{name}", lambda: self.plane.find(self.path(kind, name)), 10)
            except AssertionError as missed:
                self.problems.append(missed)
            except OSError:
                # The end of the control plane.
                return

    def contents(self):
        """All that is in the namespace but what happened there."""
        kinds = [(group, kind) for group, kind in self.plane.kinds() if kind != "events"]
        found = [(kind, self.plane.get(f"{group}/namespaces/{self.space}/{kind}")["items"]) for group, kind in kinds]
        return {f"{kind}/{it['metadata']['name']}" for kind, items in found for it in items}


def same(template, other):
    """Whether two templates make pods of the same settings and images."""
    def of(it):
        return it["metadata"]["annotations"]["zendesk-gateway/config"], [part["image"] for part in it["spec"]["containers"]]
    return of(template) == of(other)


def usual(release):
    """What every scenario goes through."""
    release.helm("install")
    told = release.plane.helm("get", "values", "shop", "--namespace", release.space, "--all", "--output=json")[1]
    values = json.loads(told)
    scaler = next((values[it] for it in ("autoscaling", "keda") if values[it]["enabled"]), None)
    count = (scaler.get("minReplicas") or scaler.get("minReplicaCount")) if scaler else values["replicaCount"]
    release.settled(count)
    first = release.template()

    release.upgrade(deadline("9s"), count)
    assert "9s" in release.settings() and not same(release.template(), first)
    key, wanted = ("digest", f"sha256:{64 * 'f'}") if values["image"]["digest"] else ("tag", "9.9.9")
    release.upgrade({"image": {key: wanted}}, count)
    assert any(wanted in container["image"] for container in release.template()["spec"]["containers"])
    if values["test"]["enabled"]:
        assert "Succeeded" in release.helm("test")

    before = release.deployment()["metadata"]["generation"]
    told = release.helm("upgrade", values=joined(FAILS, deadline("8s")), fails=True)
    assert "told this pod to fail" in told, f"the log of the check is not shown: {told}"
    assert release.deployment()["metadata"]["generation"] == before, "an upgrade whose check fails changes nothing"

    if scaler:
        count = scaler.get("maxReplicas") or scaler.get("maxReplicaCount")
        release.scale(count)
        release.settled(count)
        release.upgrade(deadline("7s"), count)
        release.helm("rollback", "2")
        assert "9s" in release.settings()
        release.settled(count)
    else:
        if not values["sandbox"]["enabled"]:
            release.upgrade({"replicaCount": count + 2}, count + 2)
        release.upgrade({"replicaCount": 0}, 0)
    release.helm("rollback", "1")
    # A rollback leaves their number to the scaler.
    release.settled(count)
    assert same(release.template(), first), "a rollback brings back the settings and the image"
    if values["test"]["enabled"]:
        release.helm("upgrade", values=joined(FAILS, {"check": {"enabled": False}}))
        assert "told this pod to fail" in release.helm("test", fails=True)


def scalers(release):
    """Scalers are turned on and off, and no pod is taken away with that."""
    triggers = {"triggers": [{"type": "cpu", "metadata": {"value": "70"}}]}
    for scaler in ({"autoscaling": {"enabled": True}}, {"keda": {"enabled": True, **triggers}}):
        release.upgrade({"replicaCount": 6}, 6)
        release.upgrade(scaler, 6)
        release.upgrade(joined(scaler, deadline("9s")), 6)
        release.scale(5)
        release.settled(5)
        assert "conflict" in release.helm("rollback", fails=True)
        release.upgrade(joined(scaler, deadline("8s")), 5)
        assert "conflict" in release.helm("upgrade", values={"replicaCount": 4}, fails=True)
        release.upgrade({"replicaCount": 4}, 4, "--force-conflicts")


def kubectl(release):
    """Somebody uses kubectl: what docs/operations.md says of it."""
    release.upgrade(deadline("9s"), 2)
    before = release.template()
    release.upgrade(deadline("8s"), 2)
    # `kubectl rollout undo` puts the template of an older ReplicaSet into the Deployment.
    older = next(it["spec"]["template"] for it in release.list("apps/v1/replicasets") if same(it["spec"]["template"], before))
    older["metadata"]["labels"].pop("pod-template-hash")
    release.patch("?fieldManager=kubectl-rollout", [{"op": "replace", "path": "/spec/template", "value": older}], "json-patch")
    release.settled(2)
    assert same(release.template(), before), "an old ReplicaSet has its own settings"
    assert "conflict" in release.helm("upgrade", values=deadline("7s"), fails=True)
    release.upgrade(deadline("7s"), 2, "--force-conflicts")
    assert "7s" in release.settings()
    release.scale(3)
    release.settled(3)
    assert "conflict" in release.helm("upgrade", fails=True)
    release.upgrade({}, 2, "--force-conflicts")


def never_ready(release):
    """Pods that do not get ready do not replace those that are."""
    release.upgrade({}, 2)
    values = {"podAnnotations": {"control-plane-test/never-ready": "yes"}, "check": {"enabled": False}}
    release.helm("upgrade", "--timeout=8s", values=values, fails=True)
    assert release.fewest == 2, f"{release.fewest} of 2 pods were left"
    release.upgrade({}, 2)


def drained(release):
    """A node is drained, and a rollout comes to its end meanwhile."""
    # As many nodes as pods: any other would hide what the cordoned one does.
    three = {"nodeSelector": {"pool": "three"}}
    release.upgrade(three, 3)
    pods = [it for it in release.list("pods") if not it["metadata"].get("deletionTimestamp")]
    assert len({it["spec"]["nodeName"] for it in pods}) == 3, "each pod has a node of its own"
    node, name = f"/api/v1/nodes/{pods[0]['spec']['nodeName']}", pods[0]["metadata"]["name"]
    release.plane.call("PATCH", node, {"spec": {"unschedulable": True}}, "application/merge-patch+json")
    wait("the node is tainted", lambda: release.plane.get(node)["spec"].get("taints"))
    release.fewest = math.inf
    release.plane.call("POST", release.path("pods", f"{name}/eviction"), {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    wait("its pod is gone", lambda: name not in [it["metadata"]["name"] for it in release.list("pods")])
    release.settled(3)
    assert release.fewest >= 2, f"{release.fewest} of 3 pods were left"
    release.upgrade(joined(three, deadline("9s")), 3)
    release.plane.call("PATCH", node, {"spec": {"unschedulable": None}}, "application/merge-patch+json")


def fleet(release):
    """The pods of a fleet may do with the API server what they need to, and no more; what they write outlives upgrades."""
    release.upgrade({"replicaCount": 2}, 2)
    [lease] = [it["metadata"]["name"] for it in release.list("coordination.k8s.io/v1/leases")]
    path, account = release.path("coordination.k8s.io/v1/leases", lease), release.template()["spec"]["serviceAccountName"]
    audience = next(source["serviceAccountToken"]["audience"] for volume in release.template()["spec"]["volumes"]
                    if volume["name"] == "fleet" for source in volume["projected"]["sources"])

    def token(*audiences):
        body = {"spec": {"audiences": audiences, "expirationSeconds": 600}}
        return release.plane.call("POST", release.path("serviceaccounts", f"{account}/token"), body)["status"]["token"]
    pod = token()

    def refused(method, path, body=None, token=pod, status=403):
        try:
            release.plane.call(method, path, body, token=token)
        except Refused as refused:
            assert refused.status == status, refused
            return
        raise AssertionError(f"{method} {path} was allowed")
    it = release.plane.get(path, token=pod)
    written = {**it, "spec": {"holderIdentity": "1/a-0/10.0.0.1:50052/00", "leaseTransitions": 7, "leaseDurationSeconds": 6,
                              "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000001Z"}}
    written["metadata"].pop("managedFields")
    release.plane.call("PUT", path, written, token=pod)
    refused("PUT", path, written, status=409)
    assert release.plane.get("/openid/v1/jwks", token=pod)["keys"]
    # A token of the fleet's audience is for the replicas alone.
    refused("GET", path, token=token(audience), status=401)
    for method, where, body in [("GET", path.rpartition("/")[0], None), ("DELETE", path, None), ("GET", release.path("secrets"), None),
                                ("POST", path.rpartition("/")[0], {"metadata": {"name": "another"}})]:
        refused(method, where, body)
    release.upgrade(joined({"replicaCount": 3}, {"podLabels": {"team": "b"}}), 3)
    assert release.plane.get(path)["spec"]["leaseTransitions"] == 7, "an upgrade leaves alone who leads"
    release.upgrade({"fleet": {"mode": "off"}}, 2)
    assert not release.list("coordination.k8s.io/v1/leases") and not release.list("rbac.authorization.k8s.io/v1/roles")
    release.upgrade({}, 2)


MORE = {"api-token": [fleet, scalers, kubectl, never_ready], "values-ha": [drained]}


def run(release, name):
    try:
        lifetime(release, name)
    except Exception as failed:
        for event in release.list("events"):
            if event["type"] != "Normal":
                failed.add_note(f"{event['involvedObject']['kind']}: {event['reason']}: {event['message']}")
        raise


def lifetime(release, name):
    begun = time.monotonic()
    # The containers that this one brings along state no needs.
    cluster.make_namespace(release.plane, release.space, quota=name != "extras")
    given = release.contents()
    usual(release)
    for more in MORE.get(name, []):
        more(release)
    release.helm("uninstall")
    # cert-manager keeps it.
    kept = {"secrets/shop-zendesk-gateway-tls"}
    wait(lambda: f"nothing is left: {release.contents() - given - kept}", lambda: release.contents() <= given | kept)
    assert not release.problems, release.problems
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


def refusals(plane, _):
    """Restricted pod security is in force here; and what the chart refuses leaves no trace."""
    release = Release(plane, "refused", [])
    cluster.make_namespace(plane, release.space, quota=False)
    given = release.contents()
    pod = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": "root"}]}}
    try:
        plane.call("POST", release.path("pods"), pod)
        raise AssertionError("a pod that is not restricted was admitted")
    except Refused as refused:
        assert "restricted" in str(refused), refused
    assert "config.upstream.subdomain" in release.helm("install", fails=True)
    assert release.contents() == given


def tried(what, *arguments):
    """Returns whether it went well; else says what went wrong."""
    try:
        what(*arguments)
        return True
    except Exception:
        print(f"FAILED: {arguments[-1]}\n{traceback.format_exc()}", flush=True)
        return False


def main(wanted):
    definitions = pathlib.Path(os.environ.get("CRDS") or HERE.parents[1] / "target/ci-tools/crds")
    absent = missing() + ([] if list(definitions.glob("*.yaml")) else [f"definitions of other objects in {definitions}"])
    if absent:
        print(f"SKIPPED: there is no {', '.join(absent)}; the chart was not tried on a control plane")
        return bool(os.environ.get("CI"))
    with Plane() as plane:
        cluster.furnish(plane, definitions)
        chosen = {name: files for name, files in scenarios().items() if not wanted or name in wanted}
        spaces = {}

        def deployment(change, it):
            if (release := spaces.get(it["metadata"]["namespace"])) and change == "MODIFIED":
                release.fewest = min(release.fewest, it["status"].get("availableReplicas", 0))

        def pod(change, it):
            if (release := spaces.get(it["metadata"]["namespace"])) and change == "ADDED":
                threading.Thread(target=release.look_at, args=[it], daemon=True).start()
        plane.watch("/apis/apps/v1/deployments", deployment)
        plane.watch("/api/v1/pods", pod)

        def failed(names, at_a_time, space):
            releases = {name: Release(plane, name, chosen[name], space) for name in names}
            spaces.update({release.space: release for release in releases.values()})
            with concurrent.futures.ThreadPoolExecutor(at_a_time) as threads:
                ran = {name: threads.submit(tried, run, release, name) for name, release in releases.items()}
                return [name for name, it in ran.items() if not it.result()]
        refused = tried(refusals, plane, "refusals")
        # Mostly they wait.
        left = failed(chosen, 5, "try")
        # A machine that stood still for a moment is not the chart's fault: few are tried once more, by themselves, and told.
        if 0 < len(left) <= 2 and (again := left):
            left = failed(again, 1, "again")
            if not left and os.environ.get("REPEATED"):
                with open(os.environ["REPEATED"], "a") as told:
                    told.writelines(f"control plane: {name}\n" for name in again)
    print(f"{len(chosen) - len(left) + refused} of {len(chosen) + 1} went well")
    return bool(left) or not refused


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
