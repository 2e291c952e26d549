"""Copies of the manifests with one mistake each, and the rule that must find it."""


def first(documents, kind, name=None):
    return next(
        document
        for document in documents
        if document["kind"] == kind and (name is None or document["metadata"]["name"] == name)
    )


def poller(documents):
    return first(documents, "Deployment", "poller")["spec"]["template"]["spec"]


def container(documents):
    return poller(documents)["containers"][0]


def remove(documents, kind, name):
    documents.remove(first(documents, kind, name))


def env(documents, name, value):
    container(documents)["env"].append({"name": name, "value": value})


def ingress_path(documents, ingress, index):
    return first(documents, "Ingress", ingress)["spec"]["rules"][0]["http"]["paths"][index]


# (rule, what is wrong, how it is done)
MISTAKES = (
    ("restricted", "root", lambda d: poller(d)["securityContext"].update(runAsNonRoot=False)),
    ("restricted", "user 0", lambda d: poller(d)["securityContext"].update(runAsUser=0)),
    ("restricted", "no seccomp", lambda d: poller(d)["securityContext"].pop("seccompProfile")),
    ("restricted", "the node's network", lambda d: poller(d).update(hostNetwork=True)),
    ("restricted", "the node's files", lambda d: poller(d)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    ("restricted", "escalation", lambda d: container(d)["securityContext"].pop("allowPrivilegeEscalation")),
    ("restricted", "capabilities", lambda d: container(d)["securityContext"]["capabilities"].update(add=["NET_RAW"])),
    ("restricted", "writable root", lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("restricted", "a container's own user", lambda d: container(d)["securityContext"].update(runAsUser=0)),
    ("namespaces", "not enforced", lambda d: first(d, "Namespace")["metadata"].pop("labels")),
    ("namespaces", "elsewhere", lambda d: first(d, "Deployment")["metadata"].update(namespace="default")),
    ("service_accounts", "the default account", lambda d: poller(d).pop("serviceAccountName")),
    ("service_accounts", "a token", lambda d: poller(d).update(automountServiceAccountToken=True)),
    ("service_accounts", "another's account", lambda d: poller(d).update(serviceAccountName="mapper")),
    (
        "service_accounts",
        "rights",
        lambda d: d.append({"kind": "Role", "metadata": {"name": "x", "namespace": "mcp-status"}}),
    ),
    ("images", "latest", lambda d: container(d).update(image="mcp-status/poller:latest")),
    ("images", "no tag", lambda d: container(d).update(image="registry.example:5000/mcp-status/poller")),
    ("probes", "no start-up probe", lambda d: container(d).pop("startupProbe")),
    ("probes", "alive means ready", lambda d: container(d)["livenessProbe"]["httpGet"].update(path="/readyz")),
    ("resources", "no end to memory", lambda d: container(d)["resources"].pop("limits")),
    ("resources", "no requests", lambda d: container(d)["resources"]["requests"].pop("cpu")),
    (
        "rollouts",
        "replicas taken away",
        lambda d: first(d, "Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    ),
    ("rollouts", "killed too soon", lambda d: poller(d).update(terminationGracePeriodSeconds=25)),
    ("disruptions", "no budget", lambda d: remove(d, "PodDisruptionBudget", "poller")),
    ("disruptions", "not spread", lambda d: poller(d).pop("topologySpreadConstraints")),
    ("disruptions", "two that scale", lambda d: d.append(first(d, "HorizontalPodAutoscaler", "api"))),
    ("disruptions", "a fixed number", lambda d: first(d, "Deployment")["spec"].update(replicas=2)),
    ("network", "nothing denied", lambda d: remove(d, "NetworkPolicy", "default-deny")),
    ("network", "everybody", lambda d: first(d, "NetworkPolicy", "from-ingress")["spec"]["ingress"][0].pop("from")),
    ("network", "every port", lambda d: first(d, "NetworkPolicy", "to-agents")["spec"]["egress"][0].pop("ports")),
    (
        "network",
        "about nobody",
        lambda d: first(d, "NetworkPolicy", "to-agents")["spec"].update(podSelector={"matchLabels": {"x": "y"}}),
    ),
    (
        "network",
        "notifier at the database",
        lambda d: first(d, "NetworkPolicy", "to-postgres")["spec"]["podSelector"]["matchExpressions"][0][
            "values"
        ].append("notifier"),
    ),
    ("ingresses", "streams cut off", lambda d: first(d, "Ingress", "streams")["metadata"].pop("annotations")),
    ("ingresses", "metrics for the world", lambda d: ingress_path(d, "board", 1).update(path="/other")),
    ("ingresses", "streams elsewhere", lambda d: ingress_path(d, "streams", 0)["backend"]["service"].update(name="api")),
    ("references", "no such ConfigMap", lambda d: container(d)["envFrom"][0]["configMapRef"].update(name="x")),
    ("references", "no such Secret", lambda d: poller(d)["volumes"][0]["secret"].update(secretName="x")),
    ("references", "no such key", lambda d: env(d, "JWT_SECRET_FILE", "/run/secrets/mcp-status/jwt_secret")),
    ("references", "a secret in the manifest", lambda d: env(d, "JWT_SECRET", "x")),
    ("references", "a Secret", lambda d: d.append({"kind": "Secret", "metadata": {"name": "x", "namespace": "mcp-status"}})),
    ("references", "a Service of nobody", lambda d: first(d, "Service", "api")["spec"]["selector"].update(x="y")),
    ("references", "no such Service", lambda d: ingress_path(d, "api", 0)["backend"]["service"].update(name="x")),
)
