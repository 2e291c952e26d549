"""What must hold of the rendered manifests beyond their schema. Each rule yields findings; none means that it holds.

Called by scripts/k8s-check, which also breaks copies on purpose, so that every rule is seen to fail (see broken.py).
"""

import re

WORKLOADS = ("Deployment", "StatefulSet", "Job")
# What the restricted Pod Security Standard lets a pod mount.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# SIGTERM to the end, and what goes before and after it.
LONGEST_STOP = 20


def named(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"].get("labels", {})


def containers(workload):
    spec = pod(workload)
    return spec.get("initContainers", []) + spec["containers"]


def selects(selector, labels):
    """Whether a label selector, of either form, takes these labels."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"{expression['operator']} is not understood here")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def restricted(documents):
    """The restricted Pod Security Standard, and a file system that is read only."""
    for workload in of_kind(documents, *WORKLOADS):
        spec, name = pod(workload), named(workload)
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                yield f"{name}: {field}"
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
            yield f"{name}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: no seccomp profile"
        for volume in spec.get("volumes", []):
            for kind in set(volume) - {"name"} - VOLUMES:
                yield f"{name}: volume {volume['name']} is a {kind}"
        for container in containers(workload):
            context, of = container.get("securityContext", {}), f"{name}: {container['name']}"
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{of}: may get more rights"
            if context.get("capabilities", {}) != {"drop": ["ALL"]}:
                yield f"{of}: has capabilities"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{of}: may write to its root file system"
            for field in ("runAsUser", "runAsNonRoot", "seccompProfile"):
                if field in context:
                    yield f"{of}: overrides the pod's {field}"


def namespaces(documents):
    """Where pods are, the restricted standard is enforced."""
    for document in of_kind(documents, "Namespace"):
        if document["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{named(document)}: does not enforce the restricted standard"
    known = {document["metadata"]["name"] for document in of_kind(documents, "Namespace")}
    for document in documents:
        if document["kind"] != "Namespace" and document["metadata"].get("namespace") not in known:
            yield f"{named(document)}: in no namespace of ours"


def service_accounts(documents):
    """Each workload has its own, without a token: none of them speaks to Kubernetes."""
    seen = {}
    tokenless = {
        document["metadata"]["name"]
        for document in of_kind(documents, "ServiceAccount")
        if document.get("automountServiceAccountToken") is False
    }
    for workload in of_kind(documents, *WORKLOADS):
        account = pod(workload).get("serviceAccountName")
        if account not in tokenless:
            yield f"{named(workload)}: its service account {account} is missing or has a token"
        if pod(workload).get("automountServiceAccountToken") is not False:
            yield f"{named(workload)}: mounts a token"
        if account in seen:
            yield f"{named(workload)}: shares its service account with {seen[account]}"
        seen[account] = named(workload)
    for document in of_kind(documents, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{named(document)}: nothing here needs rights in Kubernetes"


def images(documents):
    """A version each, and never whatever is the latest."""
    for workload in of_kind(documents, *WORKLOADS):
        for container in containers(workload):
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            if not re.match(r"v?[0-9]+\.[0-9]", tag):
                yield f"{named(workload)}: {container['image']} names no version"


def probes(documents):
    """Started, ready, alive. Alive depends on nobody else."""
    for workload in of_kind(documents, "Deployment", "StatefulSet"):
        for container in pod(workload)["containers"]:
            of = f"{named(workload)}: {container['name']}"
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield f"{of}: no {probe}"
            if workload["kind"] == "Deployment":
                paths = [
                    container.get(probe, {}).get("httpGet", {}).get("path")
                    for probe in ("startupProbe", "readinessProbe", "livenessProbe")
                ]
                if paths != ["/livez", "/readyz", "/livez"]:
                    yield f"{of}: its probes ask {paths}"


def resources(documents):
    """Requests to be placed by, and an end to memory."""
    for workload in of_kind(documents, *WORKLOADS):
        for container in containers(workload):
            given = container.get("resources", {})
            if not {"cpu", "memory"} <= set(given.get("requests", {})) or "memory" not in given.get("limits", {}):
                yield f"{named(workload)}: {container['name']}: no requests, or no limit of memory"


def rollouts(documents):
    """A new replica is ready before an old one goes, and an old one has the time it needs."""
    for workload in of_kind(documents, "Deployment"):
        rolling = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0:
            yield f"{named(workload)}: a rollout takes replicas away"
        sleeps = [
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            for container in pod(workload)["containers"]
        ]
        if pod(workload).get("terminationGracePeriodSeconds", 30) < LONGEST_STOP + max(sleeps) + 5:
            yield f"{named(workload)}: is killed before it has stopped"


def disruptions(documents):
    """Each that serves has a budget, spreads, and has one autoscaler and no number of replicas beside it."""
    budgets = [document["spec"]["selector"] for document in of_kind(documents, "PodDisruptionBudget")]
    for workload in of_kind(documents, "Deployment", "StatefulSet"):
        if sum(selects(budget, pod_labels(workload)) for budget in budgets) != 1:
            yield f"{named(workload)}: has not one disruption budget"
    scaled = [
        document["spec"]["scaleTargetRef"]["name"]
        for document in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    for workload in of_kind(documents, "Deployment"):
        keys = {
            spread["topologyKey"]
            for spread in pod(workload).get("topologySpreadConstraints", [])
            if selects(spread["labelSelector"], pod_labels(workload))
        }
        if keys != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
            yield f"{named(workload)}: is not spread over nodes and zones"
        if scaled.count(workload["metadata"]["name"]) != 1:
            yield f"{named(workload)}: has not one autoscaler"
        if "replicas" in workload["spec"]:
            yield f"{named(workload)}: says how many there are, which its autoscaler does"


def network(documents):
    """Everything is denied first; what is allowed then is allowed to somebody."""
    policies = of_kind(documents, "NetworkPolicy")
    if not any(
        policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for policy in policies
    ):
        yield "no policy denies everything"
    labels = [pod_labels(workload) for workload in of_kind(documents, *WORKLOADS)]
    for policy in policies:
        spec = policy["spec"]
        if not any(selects(spec["podSelector"], of) for of in labels):
            yield f"{named(policy)}: is about no pod"
        for rules, peers in ((spec.get("ingress", []), "from"), (spec.get("egress", []), "to")):
            for rule in rules:
                if not rule.get(peers) or not rule.get("ports"):
                    yield f"{named(policy)}: allows everybody, or every port"
        database = [rule for rule in spec.get("egress", []) if {"protocol": "TCP", "port": 5432} in rule.get("ports", [])]
        for of in labels:
            if database and selects(spec["podSelector"], of) and of["app.kubernetes.io/name"] not in (
                "mapper",
                "api",
                "migrate",
            ):
                yield f"{named(policy)}: lets {of['app.kubernetes.io/name']} reach the database"


def references(documents, secrets):
    """What is named is there: configuration, secrets with their keys, services, and whom services select."""
    maps = {document["metadata"]["name"] for document in of_kind(documents, "ConfigMap")}
    keys = {secret["metadata"]["name"]: set(secret["stringData"]) for secret in of_kind(secrets, "Secret")}
    for workload in of_kind(documents, *WORKLOADS):
        spec, name = pod(workload), named(workload)
        mounted = {}
        for volume in spec.get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []) or [volume]:
                config = source.get("configMap", {}).get("name")
                if config and config not in maps:
                    yield f"{name}: no ConfigMap {config}"
                secret = source.get("secret", {})
                secret = secret.get("secretName") or secret.get("name")
                if secret and secret not in keys:
                    yield f"{name}: no Secret {secret}"
                mounted[volume["name"]] = secret
        for container in containers(workload):
            for source in container.get("envFrom", []):
                config = source.get("configMapRef", {}).get("name")
                if config not in maps:
                    yield f"{name}: no ConfigMap {config}"
            places = {mount["mountPath"]: mounted.get(mount["name"]) for mount in container.get("volumeMounts", [])}
            for variable in container.get("env", []):
                if variable["name"].endswith("_FILE"):
                    folder, _, key = variable["value"].rpartition("/")
                    if key not in keys.get(places.get(folder), set()):
                        yield f"{name}: {variable['name']} is no key of a secret that is mounted there"
                elif re.search("PASSWORD|SECRET|TOKEN|KEY$", variable["name"]):
                    yield f"{name}: {variable['name']} is in the manifest"
    if of_kind(documents, "Secret"):
        yield "a Secret is among the manifests"
    services = {document["metadata"]["name"]: document for document in of_kind(documents, "Service")}
    labels = [pod_labels(workload) for workload in of_kind(documents, *WORKLOADS)]
    for service in services.values():
        selector = service["spec"].get("selector")
        if selector and not any(selects({"matchLabels": selector}, of) for of in labels):
            yield f"{named(service)}: selects nothing"
    for ingress in of_kind(documents, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if path["backend"]["service"]["name"] not in services:
                    yield f"{named(ingress)}: no Service {path['backend']['service']['name']}"


def ingresses(documents):
    """Streams may last, and are not buffered; nobody outside sees what the services say of themselves."""
    paths = {}
    for ingress in of_kind(documents, "Ingress"):
        annotations = ingress["metadata"].get("annotations", {})
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                paths[path["path"]] = path["backend"]["service"]["name"]
                if path["path"] not in ("/v1/ws", "/v1/events"):
                    continue
                if int(annotations.get("nginx.ingress.kubernetes.io/proxy-read-timeout", 60)) < 3600:
                    yield f"{named(ingress)}: {path['path']} is cut off"
                if annotations.get("nginx.ingress.kubernetes.io/proxy-buffering") != "off":
                    yield f"{named(ingress)}: {path['path']} is buffered"
    for inner in ("/metrics", "/livez", "/readyz"):
        if paths.get(inner) != "nobody":
            yield f"{inner} is open to the world"
    for streamed in ("/v1/ws", "/v1/events"):
        if paths.get(streamed) != "notifier":
            yield f"{streamed} does not lead to notifier"


RULES = (
    restricted,
    namespaces,
    service_accounts,
    images,
    probes,
    resources,
    rollouts,
    disruptions,
    network,
    ingresses,
)


def findings(documents, secrets):
    for rule in RULES:
        for finding in rule(documents):
            yield rule.__name__, finding
    for finding in references(documents, secrets):
        yield "references", finding
