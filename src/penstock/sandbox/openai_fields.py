"""Fields of a request to the emulated OpenAI, be it JSON or a form, read one by one with the service's refusals."""

from __future__ import annotations

from typing import Any

from penstock.sandbox.forms import FormError, FormFile, FormValue, read_form
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_requests import ApiError, find_model, missing
from penstock.sandbox.openai_routes import Call, Service


def name_set(text: str) -> frozenset[str]:
    """Return the words of a text, such as the names of an endpoint's parameters."""
    return frozenset(text.split())


def invalid(param: str, text: str, code: str = "invalid_value") -> ApiError:
    """Return the refusal of a parameter's value."""
    return ApiError(400, f"Invalid '{param}': {text}", code=code, param=param)


def unsupported(param: str, text: str) -> ApiError:
    """Return the refusal of a parameter that the model does not know."""
    return ApiError(400, f"Unsupported parameter: '{param}' {text}", code="unsupported_parameter", param=param)


class Fields:
    """The parameters of one request; a form's `x[y]` and the object `{"x": {"y": …}}` read alike."""

    def __init__(self, values: dict[str, Any], *, is_form: bool) -> None:
        self._values = values
        self.is_form = is_form

    @property
    def names(self) -> set[str]:
        """Return the names of the parameters that were given, without what stands in brackets."""
        return {name.split("[")[0] for name, value in self._values.items() if value is not None}

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Refuse a parameter that the endpoint does not have."""
        for name in sorted(self.names - known):
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)

    def get(self, name: str) -> Any:
        """Return a value as it came: JSON, or the last text of a form; `x.y` is the field y of x."""
        outer, _, inner = name.partition(".")
        if self.is_form:
            found = self._values.get(f"{outer}[{inner}]" if inner else outer) or [None]
            return found[-1]
        value = self._values.get(outer)
        return (value or {}).get(inner) if inner and isinstance(value, dict | None) else value

    def text(self, name: str, default: str | None = None, most: int | None = None) -> str:
        """Return a text; refuses a missing one without a default and one that is too long."""
        value = self.get(name)
        if value is None or (value == "" and default is None):
            if default is None:
                raise missing(name)
            return default
        if not isinstance(value, str):
            raise ApiError(400, f"Invalid type for '{name}': expected a string.", code="invalid_type", param=name)
        if most is not None and len(value) > most:
            text = f"string too long, at most {most} characters, got {len(value)}."
            raise invalid(name, text, "string_above_max_length")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of the allowed texts."""
        value = self.text(name, default)
        if value not in allowed:
            raise invalid(name, f"'{value}' is not supported. Supported values are: {', '.join(allowed)}.")
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """Return a number within bounds."""
        value = self.get(name)
        if value is None:
            return float(default)
        try:
            found = float(value) if self.is_form or isinstance(value, int | float) else low - 1
        except (TypeError, ValueError):
            found = low - 1
        if isinstance(value, bool) or not low <= found <= high:
            raise invalid(name, f"expected a number from {low:g} to {high:g}.")
        return found

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Return a whole number within bounds."""
        found = self.number(name, low, high, default)
        if not found.is_integer():
            raise invalid(name, f"expected a whole number from {low} to {high}.")
        return int(found)

    def flag(self, name: str) -> bool:
        """Return whether a switch is on."""
        value = self.get(name)
        if value in (None, False, "false", "False", "0"):
            return False
        if value in (True, "true", "True", "1"):
            return True
        raise ApiError(400, f"Invalid type for '{name}': expected a boolean.", code="invalid_type", param=name)

    def many(self, name: str) -> list[str]:
        """Return the texts of a parameter that may be given several times."""
        found = self._values.get(name) or []
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            text = f"Invalid type for '{name}': expected an array of strings."
            raise ApiError(400, text, code="invalid_type", param=name)
        return found

    def files(self, name: str) -> list[FormFile]:
        """Return the uploaded files of a form's field."""
        found: list[FormValue] = self._values.get(name, []) if self.is_form else []
        return [one for one in found if isinstance(one, FormFile)]

    def file(self, name: str) -> FormFile:
        """Return the one uploaded file of a form's field."""
        found = self.files(name)
        if not found:
            raise missing(name)
        return found[-1]


def read_fields(call: Call, *, form: bool | None = None) -> Fields:
    """Read the parameters of a request; `form` tells which kind the endpoint takes (None: either)."""
    kind = call.headers.get(b"content-type", b"").decode("latin-1")
    is_form = kind.lower().startswith("multipart/form-data")
    if form and not is_form:
        raise ApiError(400, "The endpoint takes a body of type multipart/form-data.", code="invalid_content_type")
    if is_form and form is not False:
        try:
            return Fields(dict(read_form(kind, call.content)), is_form=True)
        except FormError as error:
            raise ApiError(400, f"Could not parse multipart form: {error}.", code="invalid_multipart") from error
    body = call.read_json()
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not a JSON object.")
    return Fields(body, is_form=False)


def find_media_model(service: Service, fields: Fields, api: str, default: str | None = None) -> Model:
    """Return the model that a request names, when it is alive and serves this endpoint."""
    body = {"model": fields.text("model", default)}
    now, retired_status = service.world.clock.now(), service.quirks.retired_status
    return find_model(service.models, api, body, now, retired_status)
