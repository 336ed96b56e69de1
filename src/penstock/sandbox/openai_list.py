"""The emulated list of models: what is alive by the world's clock, with the announced last day."""

from __future__ import annotations

from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_replies import model_body
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Call, Done, Route, Service, answer_json


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of this part."""

    def alive() -> list[tuple[Model, str]]:
        now = service.world.clock.now()
        names = [(model, name) for model in service.models.all for name in (model.id, *model.snapshots)]
        return [(model, name) for model, name in names if not service.models.is_shut_down(model, name, now)]

    def list_all(_call: Call) -> Done:
        return answer_json({"object": "list", "data": [model_body(service.models, *one) for one in alive()]})

    def retrieve(call: Call) -> Done:
        for model, name in alive():
            if name == call.names["id"]:
                return answer_json(model_body(service.models, model, name))
        text = f"The model '{call.names['id']}' does not exist"
        raise ApiError(404, text, code="model_not_found", param="model")

    def delete(call: Call) -> Done:
        retrieve(call)
        raise ApiError(403, "You have insufficient permissions for this operation: it is not your model.")

    return [
        Route("GET", "/v1/models", "models", list_all),
        Route("GET", "/v1/models/{id}", "models", retrieve),
        Route("DELETE", "/v1/models/{id}", "models.delete", delete),
    ]
