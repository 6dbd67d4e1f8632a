"""`/dev/realms…`: creates realms, rotates keys, switches faults; not part of Keycloak."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tenants_api.devkit.realms.faults import UnknownFault
from tenants_api.devkit.realms.guard import host_name, is_loopback_name
from tenants_api.devkit.realms.realm import API_CLIENT, DevRealm

Body = dict[str, Any]
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class BadControl(Exception):
    """A control call failed; `status` and the text are the response."""

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def control_routes() -> list[Route]:
    """`POST /dev/realms/{realm}/<verb>` with a JSON object as body, `GET` and `POST /dev/realms`."""
    verbs: dict[str, Callable[[DevRealm, Body], Body]] = {
        "rotate": _rotate,
        "withdraw": _withdraw,
        "disable": _disable,
        "enable": _enable,
        "push-not-before": _push_not_before,
        "faults": _faults,
    }
    below = [Route(f"/dev/realms/{{realm}}/{name}", _on_realm(verb), methods=["POST"]) for name, verb in verbs.items()]
    lists = [Route("/dev/realms", _list, methods=["GET"]), Route("/dev/realms", _answered(_create), methods=["POST"])]
    return [*lists, *below]


def summary(realm: DevRealm) -> Body:
    """A realm in the responses of control calls."""
    return {
        "name": realm.name,
        "issuer": realm.issuer,
        "realm_url": realm.realm_url,
        "client_id": realm.client_id,
        "enabled": realm.enabled,
        "not_before": realm.not_before,
        "kid": realm.keys.kid,
        "users": list(realm.users),
        "requests": dict(realm.requests),
        "faults": realm.faults.as_dict(),
    }


async def _list(request: Request) -> Response:
    return JSONResponse({"realms": [summary(realm) for realm in request.app.state.realms.values()]})


async def _create(request: Request) -> Response:
    realms: dict[str, DevRealm] = request.app.state.realms
    name = (await _body(request)).get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadControl('expected {"name": "<letters, digits, dot, dash or underscore>"}')
    if name in realms:
        raise BadControl(f"realm {name} already exists", status=409)
    first = next(iter(realms.values()), None)
    base_url = first.base_url if first else str(request.base_url).rstrip("/")
    realms[name] = DevRealm(name, base_url=base_url, client_id=first.client_id if first else API_CLIENT)
    return JSONResponse(summary(realms[name]), status_code=201)


def _rotate(realm: DevRealm, body: Body) -> Body:
    algorithm, keep_old = body.get("algorithm", "RS256"), body.get("keep_old", True)
    if not isinstance(algorithm, str) or not isinstance(keep_old, bool):
        raise BadControl('expected {"algorithm": "RS256", "keep_old": true}')
    try:
        return {"kid": realm.rotate(algorithm=algorithm, keep_old=keep_old)}
    except ValueError as error:
        raise BadControl(str(error)) from error


def _withdraw(realm: DevRealm, body: Body) -> Body:
    kid = body.get("kid", realm.keys.kid)
    try:
        realm.withdraw(kid)
    except KeyError as error:
        raise BadControl(f"no key {kid!r} in the set of {realm.name}", status=404) from error
    return {"withdrawn": kid, "kid": realm.keys.kid}


def _disable(realm: DevRealm, body: Body) -> Body:
    realm.disable()
    return {"enabled": realm.enabled}


def _enable(realm: DevRealm, body: Body) -> Body:
    realm.enable()
    return {"enabled": realm.enabled}


def _push_not_before(realm: DevRealm, body: Body) -> Body:
    at = body.get("not_before")
    if at is not None and (isinstance(at, bool) or not isinstance(at, int)):
        raise BadControl('expected {} for now, or {"not_before": <epoch seconds>}')
    return {"not_before": realm.push_not_before(at)}


def _faults(realm: DevRealm, body: Body) -> Body:
    """Set faults; an empty object clears all."""
    if not body:
        realm.faults.clear()
    try:
        realm.faults.update(body)
    except UnknownFault as error:
        raise BadControl(str(error)) from error
    return realm.faults.as_dict()


def _on_realm(verb: Callable[[DevRealm, Body], Body]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        realm = request.app.state.realms.get(request.path_params["realm"])
        if realm is None:
            raise BadControl("Realm does not exist", status=404)
        return JSONResponse(verb(realm, await _body(request)))

    return _answered(endpoint)


def _answered(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            _refuse_foreign_page(request)
            return await endpoint(request)
        except BadControl as refused:
            return JSONResponse({"error": str(refused)}, status_code=refused.status)

    return answer


def _refuse_foreign_page(request: Request) -> None:
    """Refuse a page of another origin, which could post to this machine from the developer's browser."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_loopback_name(host_name(origin.partition("://")[2])):
        raise BadControl("the Origin is not a page of this machine", status=403)


async def _body(request: Request) -> Body:
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as error:
        raise BadControl("the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise BadControl("the body is not a JSON object")
    return body
