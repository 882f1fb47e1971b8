"""The small programs beside the gateway: `check`, `keys`, `ready`, `render` and `settings`."""
