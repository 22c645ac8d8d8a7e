"""Sends secrets wherever a client can put them, as a process of its own: what it writes is the service's log."""

from __future__ import annotations

import os

import psycopg
from flask import Flask, request

from api.common import access
from app.factory import create_app
from app.services.minting import issue_token
from config import Settings

SENT = 14


def failing_app(settings: Settings) -> Flask:
    """Return the service with a view whose statement fails on what it is given."""
    app = create_app(settings)

    @access.public
    def fail() -> str:
        with psycopg.connect(settings.require_database_url()) as connection:
            try:
                connection.execute("SELECT %s::uuid", (request.args["q"],))
            except psycopg.Error as error:
                raise RuntimeError(request.args["q"]) from error
        return ""

    app.add_url_rule("/fail", "fail", fail)
    return app


def tell() -> None:
    """Send them."""
    settings = Settings.from_environment()
    token, forged, email, password, smiles, name = os.environ["SECRETS"].split()
    client = failing_app(settings).test_client()
    service = issue_token(settings.jwt_secret or "", role="service_role", ttl_s=60)
    for sent in (token, forged):
        client.get("/api/v1/me", headers={"Authorization": f"Bearer {sent}"})
    mine = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = f'{{"name": "{name}", "smiles": "{smiles}"}}'
    assert client.post("/api/v1/molecules", data=body, headers=mine).status_code == 201
    assert client.post("/api/v1/molecules", data=body, headers=mine).status_code == 409
    client.post("/api/v1/molecules", data=f'{{"name": "{name}", "smiles": "{smiles}("}}', headers=mine)
    client.post("/api/v1/molecules", data=f'{{"name": "{name}", ', headers=mine)
    client.get(f"/api/v1/molecules?q={name}&smiles={smiles}", headers=mine)
    assert client.get(f"/api/v1/molecules?name={name}", headers=mine).get_json()["data"]
    client.get("/api/v1/molecules", query_string={"name": name}, headers={"Authorization": f"Bearer {service}"})
    client.post("/api/v1/auth/sign-in", json={"email": email, "password": password})
    client.post("/api/v1/auth/refresh", json={"refresh_token": forged})
    client.get(f"/api/v1/{email}/{smiles}")
    client.open("/api/v1/molecules", method=name)
    assert client.get(f"/fail?q={smiles}").status_code == 500
    # The rest is still there to be counted.
    os._exit(0)


if __name__ == "__main__":
    tell()
