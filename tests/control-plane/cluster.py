"""What a cluster has besides its control plane: nodes, and other projects' definitions and controllers, which are played here."""

from plane import Refused, wait

# What the scenarios name as made before, in each namespace.
GIVEN = [
    ("secrets", {"metadata": {"name": "zendesk"}, "stringData": {
        "token": "x", "access-token": "x", "client-secret": "x", "callers": "x"}}),
    ("secrets", {"metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson", "stringData": {
        ".dockerconfigjson": '{"auths":{}}'}}),
    ("configmaps", {"metadata": {"name": "company-ca"}, "data": {"ca.pem": "x"}}),
    ("configmaps", {"metadata": {"name": "proxies"}, "data": {"HTTPS_PROXY": "x"}}),
]
# A pod that does not say what it needs is refused where there is a quota.
QUOTA = {"metadata": {"name": "quota"}, "spec": {"hard": {
    "requests.cpu": "50", "requests.memory": "50Gi", "limits.memory": "50Gi", "pods": "50"}}}


def furnish(plane, definitions):
    """Nodes in three zones, and what the scenarios take for granted in a cluster."""
    for file in sorted(definitions.glob("*.yaml")):
        # cert-manager ships a template of its own chart; it leaves only labels open.
        text = "".join(line for line in file.open() if "{{" not in line)
        plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", text, "application/yaml")
    for number in range(6):
        arm = number >= 3
        plane.call("POST", "/api/v1/nodes", {"metadata": {"name": f"node-{number}", "labels": {
            "kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": "abc"[number % 3],
            "kubernetes.io/arch": "arm64" if arm else "amd64", "kubernetes.io/os": "linux", **({} if arm else {"pool": "three"})}}})
    plane.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "high"}, "value": 1000})
    plane.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "gvisor"}, "handler": "gvisor"})

    def usable(node):
        conditions = node.get("status", {}).get("conditions", [])
        return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions) and not node["spec"].get("taints")
    wait("all nodes are ready", lambda: all(map(usable, plane.get("/api/v1/nodes")["items"])))
    for path in ["cert-manager.io/v1/certificates", "keda.sh/v1alpha1/scaledobjects"]:
        wait(f"{path} is served", lambda: plane.find(f"/apis/{path}"))
    plane.watch("/api/v1/services", lambda change, it: balance(plane, it))
    plane.watch("/apis/cert-manager.io/v1/certificates", lambda change, it: certify(plane, change, it))
    plane.watch("/apis/keda.sh/v1alpha1/scaledobjects", lambda change, it: scale(plane, change, it))


def make_namespace(plane, name, quota):
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ["enforce", "warn"]}
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    for kind, body in GIVEN + ([("resourcequotas", QUOTA)] if quota else []):
        plane.call("POST", f"/api/v1/namespaces/{name}/{kind}", body)
    wait("the namespace has its account", lambda: plane.find(f"/api/v1/namespaces/{name}/serviceaccounts/default"))


def balance(plane, service):
    """The cloud: each load balancer has an address."""
    if service["spec"].get("type") == "LoadBalancer" and not service["status"]["loadBalancer"]:
        path = "/api/v1/namespaces/{namespace}/services/{name}/status".format(**service["metadata"])
        body = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
        plane.call("PATCH", path, body, "application/merge-patch+json")


def certify(plane, change, certificate):
    """cert-manager: the Secret of each certificate; it stays when the certificate goes, as cert-manager leaves it."""
    if change == "ADDED":
        make(plane, f"/api/v1/namespaces/{certificate['metadata']['namespace']}/secrets", {
            "metadata": {"name": certificate["spec"]["secretName"]}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": "x", "tls.key": "x", "ca.crt": "x"}})


def scale(plane, change, scaled):
    """KEDA's operator: an autoscaler with the bounds of the ScaledObject, which owns it."""
    if change != "ADDED":
        return
    spec, owner = scaled["spec"], scaled["metadata"]
    make(plane, f"/apis/autoscaling/v2/namespaces/{owner['namespace']}/horizontalpodautoscalers", {
        "metadata": {"name": f"keda-hpa-{owner['name']}", "ownerReferences": [{
            "apiVersion": scaled["apiVersion"], "kind": scaled["kind"], "name": owner["name"], "uid": owner["uid"]}]},
        "spec": {"scaleTargetRef": spec["scaleTargetRef"], "minReplicas": spec["minReplicaCount"],
                 "maxReplicas": spec["maxReplicaCount"], "metrics": [{"type": "External", "external": {
                     "metric": {"name": "s0"}, "target": {"type": "AverageValue", "averageValue": "200"}}}]}})


def make(plane, path, body):
    """Makes what is not there yet."""
    try:
        plane.call("POST", path, body)
    except Refused as refused:
        if refused.status != 409:
            raise
