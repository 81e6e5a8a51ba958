"""Does a job twice, with its script against the REST API and with its program against the gateway, each before an account of its own that
holds the same; tests/it/clients/scripts.rs says what it is for.

    python3 compare.py JOB ACCOUNT GATEWAY ACCOUNT-OF-THE-GATEWAY EXAMPLES

Prints {"rest": requests, "gateway": requests, "polls": those of the gateway for jobs}. Fails unless both print and leave the same, and
unless the program, started again, finds nothing to do.

    python3 compare.py --dry-run JOB GATEWAY ACCOUNT EXAMPLES

Fails unless the program, started with --dry-run, changes nothing, and says something.
"""

import csv
import difflib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from zendesk import Session

SCRIPTS = pathlib.Path(__file__).resolve().parent
FRESH = 6_500_000_000_000  # ids of records that are made after the start
# Writes of a program that is started again: it upserts its agent each time, since that costs no more than to look.
AGAIN = {"onboard_agent": {"POST /api/v2/users/create_or_update"}}


def people(session):
    """Returns end users with an external id and an address, agents with an external id, and all end users."""
    users = list(session.all("/users", "users"))
    named = [user for user in users if user["external_id"] and user["email"] and not user["suspended"]]
    end_users = [user for user in named if user["role"] == "end-user"]
    return end_users, [user for user in named if user["role"] == "agent"], [user for user in users if user["role"] == "end-user"]


def table(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        output = csv.writer(file)
        output.writerow(columns)
        output.writerows(rows)


def arguments(job, session, folder):
    """Writes the files that a job reads, and returns the arguments of both programs, and those that only the example has."""
    file = str(folder / "input")
    end_users, agents, _ = people(session)
    if job == "sync_people":
        rows = [[user["external_id"], user["name"], user["email"]] for user in end_users[:250]]
        for row in rows[:30]:  # whose names have changed
            row[1] += " Smith"
        for row in rows[20:40]:  # whose addresses have
            row[2] = f"new.{row[2]}"
        rows += [[f"hr-{number}", f"New Person {number}", f"new.person.{number}@people.example"] for number in range(50)]
        table(file, ["external_id", "name", "email"], rows)
        return [file], ["--remove-old"]
    if job == "import_people":
        rows = [[f"hr-{number}", f"New Person {number}", f"new.person.{number}@people.example"] for number in range(1000)]
        table(file, ["external_id", "name", "email"], rows)
        return [file], [str(folder / "journal")]
    if job == "leavers":
        leavers = [user["external_id"] for user in [*end_users[:36], *agents[:4]]]
        pathlib.Path(file).write_text("\n".join([*leavers, "nobody-1", "nobody-2"]))
        return [file], []
    if job == "tag_users":
        pathlib.Path(file).write_text("\n".join(user["external_id"] for user in end_users[:60]))
        return [file, "moved"], []
    if job == "find_users":
        pathlib.Path(file).write_text("\n".join([*(user["email"] for user in end_users[:117]), *(f"nobody.{n}@x.example" for n in range(3))]))
        return [file], []
    groups = sorted(group["name"] for group in session.all("/groups", "groups"))
    if job == "onboard_agent":
        return ["grace.hopper@people.example", "Grace Hopper", *groups[3:6]], []
    if job == "set_default_group":
        return [groups[4]], []
    return [], []


def prepare(job, session):
    """Makes of an account what a job finds."""
    if job == "purge_deleted":  # people have left lately, too
        recent = [user["id"] for user in people(session)[2][-260:]]
        for part in [recent[at : at + 100] for at in range(0, len(recent), 100)]:
            session.finished(session.request("DELETE", "/users/destroy_many", ids=",".join(map(str, part)))["job_status"])


def state(session):
    """Returns all that an account holds, as lines, with nothing in them that depends on when it was made."""
    names = {}

    def lines(path, name, own, **parameters):
        for row in session.all(path, name, **parameters):
            key = row["id"] if own else None
            if own and row["id"] >= FRESH:
                key = names[row["id"]] = row.get("external_id") or row.get("email")
            for word in ("id", "url", "photo", "created_at", "updated_at"):
                row.pop(word, None)
            row.update((word, names.get(row[word], row[word])) for word in ("user_id",) if word in row)
            yield f"{name} {key or ''} {json.dumps(row, sort_keys=True)}"

    found = [*lines("/users", "users", True), *lines("/deleted_users", "deleted_users", True)]
    found += lines("/group_memberships", "group_memberships", False)
    found += lines("/organization_memberships", "organization_memberships", False)
    parameters = {"include": "identities", "page[size]": 100}
    while True:  # the addresses of all users stand beside their list
        page = session.get("/users", **parameters)
        for row in page["identities"]:
            kept = {word: row[word] for word in ("type", "value", "primary", "verified")}
            found.append(f"identity {names.get(row['user_id'], row['user_id'])} {json.dumps(kept, sort_keys=True)}")
        if not page["meta"]["has_more"]:
            return sorted(found)
        parameters["page[after]"] = page["meta"]["after_cursor"]


def requests(url, reset=False):
    """Returns what an account has counted, or begins anew."""
    path = "/__sandbox/stats/reset" if reset else "/__sandbox/stats"
    with urllib.request.urlopen(urllib.request.Request(url + path, method="POST" if reset else "GET")) as answer:
        return None if reset else json.load(answer)


def writes(counted):
    """Returns the routes by which something was changed."""
    return {route for route in counted["hits"] if not route.startswith("GET ")}


def run(program, given, folder, environment, url):
    """Runs a program, and returns what it has printed, its exit code, and what the account counted meanwhile."""
    requests(url, reset=True)
    command, environment = [sys.executable, program, *given], {**os.environ, **environment}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, timeout=300)
    return done.stdout, done.returncode, requests(url)


def same(one, other, what):
    """Ends the program unless two lists of lines are the same."""
    if one != other:
        differences = list(difflib.unified_diff(one, other, "REST", "gateway", n=0, lineterm=""))
        sys.exit(f"{what} differs:\n" + "\n".join(differences[:40]))


def compare(folder, job, rest_url, address, gateway_url, examples):
    sessions = [Session(rest_url), Session(gateway_url)]
    given, own = arguments(job, sessions[0], folder)
    for session in sessions:
        prepare(job, session)
    printed, code, rest = run(f"{SCRIPTS}/{job}.py", given, folder, {"ZENDESK_URL": rest_url}, rest_url)
    program, environment = f"{examples}/{job}.py", {"GATEWAY_ADDRESS": address}
    own_printed, own_code, gateway = run(program, [*given, *own], folder, environment, gateway_url)
    if code != own_code:
        sys.exit(f"the script ends with {code}, the program with {own_code}")
    if printed.startswith(("id,", "address,")):  # a report
        same(printed.splitlines(), own_printed.splitlines(), "what is printed")
    _, again, counted = run(program, [*given, *own], folder, environment, gateway_url)
    if again != own_code or writes(counted) != AGAIN.get(job, set()):
        sys.exit(f"started again, it ends with {again} after {counted['hits']}")
    if writes(rest) or writes(gateway):
        same(state(sessions[0]), state(sessions[1]), "what is left")
    polls = sum(count for route, count in gateway["hits"].items() if "/job_statuses" in route)
    print(json.dumps({"rest": rest["total"], "gateway": gateway["total"], "polls": polls}))
    print(json.dumps(rest["hits"]), json.dumps(gateway["hits"]), sep="\n", file=sys.stderr)


def dry_run(folder, job, address, url, examples):
    given, own = arguments(job, Session(url), folder)
    printed, code, counted = run(f"{examples}/{job}.py", [*given, *own, "--dry-run"], folder, {"GATEWAY_ADDRESS": address}, url)
    if code or not printed or writes(counted):
        sys.exit(f"it ends with {code} after {counted['hits']}:\n{printed}")


with tempfile.TemporaryDirectory() as temporary:
    if sys.argv[1] == "--dry-run":
        dry_run(pathlib.Path(temporary), *sys.argv[2:])
    else:
        compare(pathlib.Path(temporary), *sys.argv[1:])
