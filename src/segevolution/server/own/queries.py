"""What an address may say after its question mark."""

from fastapi import Depends, Request

from ..faults import BadRequest


def _only_known(request: Request) -> None:
    """Refuse a query key that the route does not have, so that a misspelt one is not passed over."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for key in request.query_params:
        if key not in known:
            there = f"this route has {', '.join(sorted(known))}" if known else "this route has none"
            raise BadRequest(f'there is no query key "{key[:60]}"; {there}.')


ONLY_KNOWN = Depends(_only_known)
