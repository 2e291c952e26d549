"""Checks rendered manifests: their schemas in several versions of Kubernetes, and the rules of policy.py.

usage: check.py RENDERED SECRETS
"""

import copy
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

import broken
import policy

# Older ones do not know the sleep before a pod stops (1.30), or no longer get fixes.
VERSIONS = ("1.33", "1.35", "1.37")
SCALED_OBJECT = json.loads((pathlib.Path(__file__).parent / "scaledobject.json").read_text())


def schema_errors(document):
    name = policy.named(document)
    if document["apiVersion"] == "keda.sh/v1alpha1":
        for error in jsonschema.Draft202012Validator(SCALED_OBJECT).iter_errors(document):
            yield f"{name}: {error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            yield f"{name}, Kubernetes {version}: {where}: {error.message}"


def seen_to_fail(documents, secrets):
    """Every rule finds its mistake, and the schemas find theirs."""
    for rule, what, mistake in broken.MISTAKES:
        spoilt = copy.deepcopy(documents)
        try:
            mistake(spoilt)
        except StopIteration:
            # What it would break is not in this overlay.
            continue
        if rule not in {found for found, _ in policy.findings(spoilt, secrets)}:
            yield f"{rule} does not see: {what}"
    unknown = copy.deepcopy(broken.first(documents, "Deployment"))
    unknown["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    if len(list(schema_errors(unknown))) != len(VERSIONS):
        yield "the schemas let an unknown field pass"
    for scaled in policy.of_kind(documents, "ScaledObject"):
        spoilt = copy.deepcopy(scaled)
        spoilt["spec"]["triggers"][0]["metadata"].pop("consumer", None)
        spoilt["spec"]["triggers"][0]["metadata"].pop("query", None)
        if not list(schema_errors(spoilt)):
            yield f"the schema lets {policy.named(scaled)} pass without what it scales by"
    if {rule.__name__ for rule in policy.RULES} | {"references"} != {rule for rule, _, _ in broken.MISTAKES}:
        yield "a rule has no mistake to find"


def main():
    rendered, secrets = (list(yaml.safe_load_all(open(path))) for path in sys.argv[1:])
    problems = [error for document in rendered + secrets for error in schema_errors(document)]
    problems += [f"{rule}: {finding}" for rule, finding in policy.findings(rendered, secrets)]
    if not problems:
        problems = list(seen_to_fail(rendered, secrets))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{len(rendered)} manifests, Kubernetes {', '.join(VERSIONS)}; {len(broken.MISTAKES)} mistakes are found")


main()
