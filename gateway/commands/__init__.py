"""The small programs beside the gateway: `nitrogen-gateway check`, `keys` and `render`."""
