"""The dashboards as code: `python -m deploy.grafana.generator` writes `deploy/grafana/dashboards/*.json`."""
