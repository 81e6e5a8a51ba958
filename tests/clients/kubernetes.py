"""Validates rendered objects strictly: those of Kubernetes for each version given, the others by their definitions.

Usage: kubernetes.py CRD_FOLDER VERSION... < rendered.yaml
Prints a JSON list of problems, and fails only where it cannot judge.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def closed(schema):
    """Kubernetes drops what a definition does not list, so that nobody notices; here it is a mistake."""
    if isinstance(schema, dict):
        keeps = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
        schema = {key: closed(value) for key, value in schema.items()}
        # A schema may have a property named `properties`; only a map of schemas is meant.
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not keeps:
            schema.setdefault("additionalProperties", False)
        if schema.pop("x-kubernetes-int-or-string", False):
            schema.pop("pattern", None)
        return schema
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def definitions(folder):
    found = {}
    for file in sorted(pathlib.Path(folder).glob("*.yaml")):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            # What every object has stands in no definition.
            schema["properties"].update(apiVersion={}, kind={}, metadata={})
            api = f"{spec['group']}/{version['name']}"
            found[api, spec["names"]["kind"]] = jsonschema.Draft202012Validator(closed(schema))
    return found


def main(folder, *versions):
    custom, problems, kinds = definitions(folder), [], {}
    for item in filter(None, yaml.safe_load_all(sys.stdin)):
        api, kind = item["apiVersion"], item["kind"]
        name = f"{kind}/{item['metadata']['name']}"
        kinds[kind] = kinds.get(kind, 0) + 1
        if (api, kind) in custom:
            for error in custom[api, kind].iter_errors(item):
                problems.append(f"{name}: {error.json_path}: {error.message}")
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{name}: Kubernetes {version}: {list(error.path)}: {error.message}")
    print(json.dumps({"problems": problems, "kinds": kinds}))


main(*sys.argv[1:])
