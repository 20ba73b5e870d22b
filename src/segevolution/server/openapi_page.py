"""The list of routes as a page of its own, since the usual one fetches its script from another site."""

from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "code{background:#f0f0f0;padding:.1em .3em;border-radius:3px}table{border-collapse:collapse;width:100%}"
    "td{border-bottom:1px solid #ddd;padding:.3rem .6rem;vertical-align:top}h2{margin-top:2rem}"
    "td:first-child{white-space:nowrap;font-weight:600}"
)


def openapi_page(schema: dict[str, Any]) -> str:
    """HTML of an OpenAPI schema: method, path, what it does, its query and body."""
    groups: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            group = (route.get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_row(method, path, route))
    info = schema["info"]
    tables = "".join(f"<h2>{escape(group)}</h2><table>{''.join(rows)}</table>" for group, rows in groups.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', ''))} The schema: <a href=/api/openapi.json>openapi.json</a>.</p>{tables}"
    )


def _row(method: str, path: str, route: dict[str, Any]) -> str:
    query = [item["name"] for item in route.get("parameters", []) if item["in"] in ("query", "header")]
    content = route.get("requestBody", {}).get("content", {})
    bodies = [part.get("schema", {}).get("$ref", "").rpartition("/")[2] for part in content.values()]
    description = escape(route.get("description", ""))
    if query:
        description += "<br>query: " + ", ".join(f"<code>{escape(name)}</code>" for name in query)
    if any(bodies):
        description += "<br>body: " + ", ".join(f"<code>{escape(body)}</code>" for body in bodies if body)
    return f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{description}</td></tr>"
