"""What scripts against Zendesk's REST API begin with: a session with JSON, pages, and a wait where Zendesk asks for one.

The account is $ZENDESK_URL, with $ZENDESK_EMAIL and $ZENDESK_TOKEN.
"""

import base64
import http.client
import json
import os
import time
from urllib.parse import urlencode, urlsplit

CREDENTIAL = base64.b64encode(f"{os.environ['ZENDESK_EMAIL']}/token:{os.environ['ZENDESK_TOKEN']}".encode()).decode()


class Session:
    """Requests on one connection."""

    def __init__(self, url=os.environ.get("ZENDESK_URL", "")):
        url = urlsplit(url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(url.netloc, timeout=60)

    def request(self, method, path, body=None, **parameters):
        """Sends a request, again where there were too many, and returns the JSON of the answer."""
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        headers = {"Authorization": f"Basic {CREDENTIAL}", "Content-Type": "application/json"}
        while True:
            self.connection.request(method, f"/api/v2{path}{query}", body and json.dumps(body), headers)
            response = self.connection.getresponse()
            answer = response.read()
            if response.status != 429:
                break
            time.sleep(float(response.headers.get("Retry-After", 60)))
        if response.status >= 300:
            raise Exception(f"{method} {path}: {response.status} {answer.decode()}")
        return json.loads(answer) if answer else None

    def get(self, path, **parameters):
        return self.request("GET", path, **parameters)

    def post(self, path, body):
        return self.request("POST", path, body)

    def put(self, path, body=None):
        return self.request("PUT", path, body)

    def delete(self, path):
        return self.request("DELETE", path)

    def all(self, path, name, **parameters):
        """Yields all rows of a list, by cursor, 100 at a time."""
        parameters = {**parameters, "page[size]": 100}
        while True:
            page = self.get(path, **parameters)
            yield from page[name]
            if not page["meta"]["has_more"]:
                return
            parameters["page[after]"] = page["meta"]["after_cursor"]

    def finished(self, job):
        """Waits for a job, and returns its results."""
        while job["status"] in ("queued", "working"):
            time.sleep(1)
            job = self.get(f"/job_statuses/{job['id']}")["job_status"]
        return job["results"]


def hundreds(rows):
    """Cuts a list into lists of 100, which is what Zendesk takes at once."""
    return [rows[at : at + 100] for at in range(0, len(rows), 100)]


def lines(path):
    """Returns the lines of a file."""
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]
