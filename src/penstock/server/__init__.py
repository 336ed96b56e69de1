"""The HTTP service: routes from the catalogue and the store, problem details, inbound webhooks, metrics."""
